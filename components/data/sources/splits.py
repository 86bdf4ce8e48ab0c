"""Which image goes to which split: decided by contents, never by the order of a directory."""

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
    kept: Collection[str] = (),
) -> list[str]:
    """The split of each image: as the source states, else 20 % test, 8 % validation, the rest train.

    Images of one group (copies, variants) share a split, and each stratum is cut alike. A source that states
    no validation split has it taken from its training split. Where nothing is stated, the groups `kept` go to
    training after the cut, so that no other image moves for them.
    """
    if stated is None:
        found = divide(groups, strata, {"test": TEST, "validation": VALIDATION})
        return ["train" if group in kept else split for group, split in zip(groups, found, strict=True)]
    if "validation" in stated:
        return list(stated)
    train = [i for i, split in enumerate(stated) if split == "train"]
    cut = divide([groups[i] for i in train], [strata[i] for i in train], {"validation": VALIDATION})
    split_of = dict(zip(train, cut, strict=True))
    return [split_of.get(i, split) for i, split in enumerate(stated)]


def divide(groups: Sequence[str], strata: Sequence[Stratum], shares: Shares) -> list[str]:
    """The split of each image: within a stratum the groups, ordered by a hash, are cut by `shares`."""
    stratum_of: dict[str, int | str] = {}
    for group, stratum in zip(groups, strata, strict=True):
        stratum_of[group] = min(stratum_of.get(group, stratum), stratum)
    members = defaultdict(list)
    for group, stratum in stratum_of.items():
        members[stratum].append(group)
    split_of = cut({s: sorted(names, key=rank) for s, names in sorted(members.items())}, shares)
    return [split_of[group] for group in groups]


def cut(strata: dict[Stratum, list[str]], shares: Shares) -> dict[str, str]:
    """The split of every name, each stratum cut in its own order."""
    left = {s: list(names) for s, names in strata.items()}
    sizes = {s: len(names) for s, names in strata.items()}
    split_of: dict[str, str] = {}
    for split, share in shares.items():
        for s, count in apportion(sizes, share).items():
            taken, left[s] = left[s][:count], left[s][count:]
            split_of |= dict.fromkeys(taken, split)
    return split_of | {name: "train" for names in left.values() for name in names}


def apportion(sizes: dict[Stratum, int], share: Fraction) -> dict[Stratum, int]:
    """How many of each stratum make up `share` of the whole: largest remainders keep the total right."""
    total = round(share * sum(sizes.values()))
    exact = {s: share * size for s, size in sizes.items()}
    counts = {s: int(value) for s, value in exact.items()}
    by_remainder = sorted(sizes, key=lambda s: (counts[s] - exact[s], s))
    for s in by_remainder[: total - sum(counts.values())]:
        counts[s] += 1
    return counts


def rank(name: str) -> str:
    """A place in an order that has nothing to do with the name's meaning."""
    return sha256(name.encode("utf-8", "surrogateescape"))


def check(counts: dict[str, int]) -> None:
    """Raise if a split is empty."""
    if empty := [split for split in SPLITS if not counts.get(split)]:
        total = sum(counts.values())
        raise InputError(
            f"too few images: {total} leave the {empty[0]} split empty; at least 7 different ones are needed"
        )
