"""Confirm a sweep: the winner against the experiment's own settings on fresh seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from components.records.sweep import Confirmation, Difference, SideFailure

CONFIDENCE = 0.95

SIDES = ("winner", "default")


class Pair(NamedTuple):
    """The values of both sides with the same seed."""

    seed: int
    winner: float
    default: float


def interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """The mean of independent values and its 95 % interval by Student's t; of one value there is none."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None, None
    from scipy.stats import t as student  # takes long to import, and most runs have no sweep

    quantile = float(student.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    half = quantile * statistics.stdev(values) / len(values) ** 0.5
    return mean, mean - half, mean + half


def duel(
    metric: str, pairs: Sequence[Pair], failed: Sequence[SideFailure] = (), **about: Any
) -> Confirmation:
    """Compare two settings on the same fresh seeds: their differences, and whether chance explains them.

    Args:
        metric: what they are compared by, lower is better.
        pairs: the two values of each seed.
        failed: the trainings without a value.
        about: other fields of the record: n, split, real_baseline, seconds_per_image.
    """
    value, low, high = interval([pair.winner - pair.default for pair in pairs])
    return Confirmation(
        metric=metric,
        seeds=[pair.seed for pair in pairs],
        winner=[pair.winner for pair in pairs],
        default=[pair.default for pair in pairs],
        difference=Difference(value=value, low=low, high=high),
        says=_verdict(pairs, low, high, failed),
        failed=list(failed),
        **about,
    )


def _verdict(
    pairs: Sequence[Pair], low: float | None, high: float | None, failed: Sequence[SideFailure]
) -> str:
    lost = {side: sum(failure.side == side for failure in failed) for side in SIDES}
    if lost["winner"] > lost["default"]:
        return f"the winner failed on {lost['winner']} of {lost['winner'] + len(pairs)} seeds"
    if all(pair.winner == pair.default for pair in pairs):
        return "the winner is what the config has"
    if low is None or high is None:
        return "one seed says nothing of chance"
    return "better" if high < 0 else "worse" if low > 0 else "no significant gain"
