"""Assign images to splits by their contents, independent of their order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from fractions import Fraction

import numpy as np

from components.common.errors import InputError
from components.common.hashing import sha256
from components.data.card import SPLITS, DatasetCard

Stratum = int | str
Shares = dict[str, Fraction]
LEAST = 8  # images in each split that evaluation needs
TEST, VALIDATION = Fraction(20, 100), Fraction(8, 100)


def assign(
    groups: Sequence[str],
    strata: Sequence[Stratum],
    stated: Sequence[str] | None = None,
    always_train: Collection[str] = (),
) -> list[str]:
    """Return the split of each image: as stated by the source, else 20 % test, 8 % validation, 72 % train.

    Images of a group (copies, variants) share a split, all strata are divided in the same proportions, and a
    split that is cut gets at least the groups that evaluation needs, if there are so many. Splits that the
    source does not state are cut from the others (`missing`). If it states none, the groups `always_train`
    move to training after the division, which does not affect other images.
    """
    if stated is None:
        divided = divide(groups, strata, {"test": TEST, "validation": VALIDATION})
        return [
            "train" if group in always_train else split for group, split in zip(groups, divided, strict=True)
        ]
    donor, shares = missing(set(stated))
    if not shares:
        return list(stated)
    rows = [i for i, split in enumerate(stated) if split == donor]
    cut = divide([groups[i] for i in rows], [strata[i] for i in rows], shares)
    split_of = dict(zip(rows, cut, strict=True))
    return [split_of.get(i, split) for i, split in enumerate(stated)]


def missing(stated: Collection[str]) -> tuple[str, Shares]:
    """Return the split that others are cut from, and their shares of it, for a source that states `stated`.

    Validation, or test, is cut from training; training, without which there is no other choice, is the larger
    part of validation. A test split is never touched.
    """
    shares = {"test": TEST, "validation": VALIDATION}
    if "train" not in stated and "validation" in stated:
        return "validation", {"validation": VALIDATION / (1 - TEST)} if "test" in stated else shares
    return "train", {split: share for split, share in shares.items() if split not in stated}


def divide(groups: Sequence[str], strata: Sequence[Stratum], shares: Shares) -> list[str]:
    """Return the split of each image; within a stratum the groups are ordered by hash and cut by `shares`."""
    stratum_of: dict[str, int | str] = {}
    for group, stratum in zip(groups, strata, strict=True):
        stratum_of[group] = min(stratum_of.get(group, stratum), stratum)
    members = defaultdict(list)
    for group, stratum in stratum_of.items():
        members[stratum].append(group)
    split_of = cut({s: [names[i] for i in ranked(names)] for s, names in sorted(members.items())}, shares)
    return [split_of[group] for group in groups]


def cut(strata: dict[Stratum, list[str]], shares: Shares) -> dict[str, str]:
    """Return the split of every name; each stratum is cut in the given order."""
    remaining = {s: list(names) for s, names in strata.items()}
    sizes = {s: len(names) for s, names in strata.items()}
    split_of = {name: "train" for names in strata.values() for name in names}
    for split, share in shares.items():
        available = {s: len(names) for s, names in remaining.items()}
        for s, count in apportion(sizes, share, available).items():
            taken, remaining[s] = remaining[s][:count], remaining[s][count:]
            split_of |= dict.fromkeys(taken, split)
    return split_of


def apportion(
    sizes: dict[Stratum, int], share: Fraction, available: dict[Stratum, int] | None = None
) -> dict[Stratum, int]:
    """Return how many of each stratum make up `share` of the total, by the largest remainder method.

    Args:
        sizes: of all strata.
        share: of the total; more if that is less than evaluation needs.
        available: at most so many of each; None: all.
    """
    whole, available = sum(sizes.values()), available or sizes
    share = max(share, min(Fraction(1), Fraction(LEAST, max(1, whole))))
    total = min(round(share * whole), sum(available.values()))
    exact = {s: share * size for s, size in sizes.items()}
    counts = {s: min(int(value), available[s]) for s, value in exact.items()}
    by_remainder = sorted(sizes, key=lambda s: (int(exact[s]) - exact[s], s))
    while (lacking := total - sum(counts.values())) > 0:
        for s in [s for s in by_remainder if counts[s] < available[s]][:lacking]:
            counts[s] += 1
    return counts


def rank(name: str) -> str:
    """Return a sort key that is unrelated to the meaning of the name: its hash."""
    return sha256(name.encode("utf-8", "surrogateescape"))


def ranked(names: Iterable[str]) -> np.ndarray:
    """Return the positions of names in the order of their ranks, as a stable sort would.

    It sorts four numbers for each rank, since a million texts would take 400 MB.
    """
    ranks = bytearray()
    for name in names:
        ranks += bytes.fromhex(rank(name))
    return np.lexsort(np.frombuffer(ranks, ">u8").reshape(-1, 4).T[::-1])


def evaluable(card: DatasetCard) -> DatasetCard:
    """Return a card; raise InputError if a split of its images or sources has too few for evaluation."""
    check(card.counts)
    if card.sources:
        check(card.sources.counts)
    return card


def check(counts: dict[str, int]) -> None:
    """Raise InputError if a split has fewer images than evaluation needs."""
    lacking = {split: LEAST - counts.get(split, 0) for split in SPLITS if counts.get(split, 0) < LEAST}
    if lacking:
        present = ", ".join(f"{counts.get(split, 0)} {split}" for split in SPLITS)
        more = ", ".join(f"{n} {split}" for split, n in lacking.items())
        raise InputError(
            f"too few images: {present}; evaluation needs at least {LEAST} different ones in each split, "
            f"so {sum(lacking.values())} are missing ({more})"
        )
