"""Confirm a sweep: the winner against the experiment's own settings on fresh seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import scipy

from components.records.sweep import Confirmation, Difference, SideFailure

CONFIDENCE = 0.95

SIDES = ("winner", "default")


class Pair(NamedTuple):
    """The values of both sides with the same seed."""

    seed: int
    winner: float
    default: float


def interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Return the mean of independent values and its 95 % interval by Student's t (None for one value)."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None, None
    quantile = float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    half = quantile * statistics.stdev(values) / len(values) ** 0.5
    return mean, mean - half, mean + half


def compare_pairs(
    metric: str,
    pairs: Sequence[Pair],
    failed: Sequence[SideFailure] = (),
    of: Literal["training", "sampling"] = "training",
    **about: Any,
) -> Confirmation:
    """Return the comparison of two settings on the same fresh seeds: differences, interval and verdict.

    Args:
        metric: the compared metric; lower is better.
        pairs: the two values of each seed.
        failed: the trainings without a value.
        of: what the seeds are of. With seeds of sampling, the verdict holds for the one model and says so.
        about: other fields of the record: n, split, real_baseline, seconds_per_image.
    """
    value, low, high = interval([pair.winner - pair.default for pair in pairs])
    return Confirmation(
        metric=metric,
        seeds=[pair.seed for pair in pairs],
        winner=[pair.winner for pair in pairs],
        default=[pair.default for pair in pairs],
        difference=Difference(value=value, low=low, high=high),
        says=_verdict(pairs, low, high, failed, " for this model" if of == "sampling" else ""),
        failed=list(failed),
        **about,
    )


def _verdict(
    pairs: Sequence[Pair],
    low: float | None,
    high: float | None,
    failed: Sequence[SideFailure],
    scope: str,
) -> str:
    failures = {side: sum(failure.side == side for failure in failed) for side in SIDES}
    if failures["winner"] > failures["default"]:
        return f"the winner failed on {failures['winner']} of {failures['winner'] + len(pairs)} seeds"
    if all(pair.winner == pair.default for pair in pairs):
        return "the winner has the config's own settings"
    if low is None or high is None:
        return "one seed gives no interval"
    return ("better" if high < 0 else "worse" if low > 0 else "no significant gain") + scope
