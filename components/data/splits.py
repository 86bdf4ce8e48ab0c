"""Which image goes to which split: decided by contents, never by the order of a directory."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

from components.data.card import SPLITS
from components.errors import InputError

Shares = dict[str, Fraction]
TEST, VALIDATION = Fraction(20, 100), Fraction(8, 100)


def assign(groups: Sequence[str], strata: Sequence[int | str]) -> list[str]:
    """The split of each image. Images of one group (copies, variants) share a split; each stratum is cut alike.

    A group belongs to the stratum of its first image by (stratum, place). Within a stratum the groups are ordered by a
    hash of their name; the first 20 % are test, the next 8 % validation, the rest train.
    """
    stratum_of: dict[str, int | str] = {}
    for group, stratum in zip(groups, strata, strict=True):
        stratum_of[group] = min(stratum_of.get(group, stratum), stratum)
    members = defaultdict(list)
    for group, stratum in stratum_of.items():
        members[stratum].append(group)
    split_of = cut({s: sorted(names, key=rank) for s, names in sorted(members.items())})
    return [split_of[group] for group in groups]


def cut(strata: dict[int | str, list[str]], shares: Shares | None = None) -> dict[str, str]:
    """The split of every name, each stratum cut in its own order."""
    shares = {"test": TEST, "validation": VALIDATION} if shares is None else shares
    left = {s: list(names) for s, names in strata.items()}
    sizes = {s: len(names) for s, names in strata.items()}
    split_of: dict[str, str] = {}
    for split, share in shares.items():
        for s, count in apportion(sizes, share).items():
            taken, left[s] = left[s][:count], left[s][count:]
            split_of |= dict.fromkeys(taken, split)
    return split_of | {name: "train" for names in left.values() for name in names}


def apportion(sizes: dict[int | str, int], share: Fraction) -> dict[int | str, int]:
    """How many of each stratum make up `share` of the whole: largest remainders, so that the total is right."""
    total = round(share * sum(sizes.values()))
    exact = {s: share * size for s, size in sizes.items()}
    counts = {s: int(value) for s, value in exact.items()}
    by_remainder = sorted(sizes, key=lambda s: (counts[s] - exact[s], s))
    for s in by_remainder[: total - sum(counts.values())]:
        counts[s] += 1
    return counts


def rank(name: str) -> str:
    """A place in an order that has nothing to do with the name's meaning."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def check(counts: dict[str, int]) -> None:
    """Raise if a split is empty."""
    if empty := [split for split in SPLITS if not counts.get(split)]:
        total = sum(counts.values())
        raise InputError(
            f"too few images: the split {empty[0]} would be empty with {total} different images; at least 7 are needed"
        )
