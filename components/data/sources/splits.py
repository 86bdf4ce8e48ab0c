"""Assign images to splits by their contents, independent of their order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from fractions import Fraction

from components.common.errors import InputError
from components.common.hashing import sha256
from components.data.card import SPLITS

Stratum = int | str
Shares = dict[str, Fraction]
TEST, VALIDATION = Fraction(20, 100), Fraction(8, 100)


def assign(
    groups: Sequence[str],
    strata: Sequence[Stratum],
    stated: Sequence[str] | None = None,
    always_train: Collection[str] = (),
) -> list[str]:
    """Return the split of each image: as stated by the source, else 20 % test, 8 % validation, 72 % train.

    Images of a group (copies, variants) share a split, and all strata are divided in the same proportions. If
    the source states no validation split, it is taken from the training split. If it states none, the groups
    `always_train` move to training after the division, which does not affect other images.
    """
    if stated is None:
        divided = divide(groups, strata, {"test": TEST, "validation": VALIDATION})
        return [
            "train" if group in always_train else split for group, split in zip(groups, divided, strict=True)
        ]
    if "validation" in stated:
        return list(stated)
    train = [i for i, split in enumerate(stated) if split == "train"]
    cut = divide([groups[i] for i in train], [strata[i] for i in train], {"validation": VALIDATION})
    split_of = dict(zip(train, cut, strict=True))
    return [split_of.get(i, split) for i, split in enumerate(stated)]


def divide(groups: Sequence[str], strata: Sequence[Stratum], shares: Shares) -> list[str]:
    """Return the split of each image; within a stratum the groups are ordered by hash and cut by `shares`."""
    stratum_of: dict[str, int | str] = {}
    for group, stratum in zip(groups, strata, strict=True):
        stratum_of[group] = min(stratum_of.get(group, stratum), stratum)
    members = defaultdict(list)
    for group, stratum in stratum_of.items():
        members[stratum].append(group)
    split_of = cut({s: sorted(names, key=rank) for s, names in sorted(members.items())}, shares)
    return [split_of[group] for group in groups]


def cut(strata: dict[Stratum, list[str]], shares: Shares) -> dict[str, str]:
    """Return the split of every name; each stratum is cut in the given order."""
    remaining = {s: list(names) for s, names in strata.items()}
    sizes = {s: len(names) for s, names in strata.items()}
    split_of: dict[str, str] = {}
    for split, share in shares.items():
        for s, count in apportion(sizes, share).items():
            taken, remaining[s] = remaining[s][:count], remaining[s][count:]
            split_of |= dict.fromkeys(taken, split)
    return split_of | {name: "train" for names in remaining.values() for name in names}


def apportion(sizes: dict[Stratum, int], share: Fraction) -> dict[Stratum, int]:
    """Return how many of each stratum make up `share` of the total, by the largest remainder method."""
    total = round(share * sum(sizes.values()))
    exact = {s: share * size for s, size in sizes.items()}
    counts = {s: int(value) for s, value in exact.items()}
    by_remainder = sorted(sizes, key=lambda s: (counts[s] - exact[s], s))
    for s in by_remainder[: total - sum(counts.values())]:
        counts[s] += 1
    return counts


def rank(name: str) -> str:
    """Return a sort key that is unrelated to the meaning of the name: its hash."""
    return sha256(name.encode("utf-8", "surrogateescape"))


def check(counts: dict[str, int]) -> None:
    """Raise InputError if a split is empty."""
    if empty := [split for split in SPLITS if not counts.get(split)]:
        total = sum(counts.values())
        raise InputError(
            f"too few images: {total} leave the {empty[0]} split empty; at least 7 different ones are needed"
        )
