"""Confirm a sweep: the winner against the experiment's own settings on fresh seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from components.tuning.trial_log import Told

CONFIDENCE = 0.95


def interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """The mean of independent values and its 95 % interval by Student's t; of one value there is none."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None, None
    from scipy.stats import t as student  # takes long to import, and most runs have no sweep

    quantile = float(student.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    half = quantile * statistics.stdev(values) / len(values) ** 0.5
    return mean, mean - half, mean + half


def duel(metric: str, pairs: Sequence[Mapping[str, Any]], **about: Any) -> Told:
    """The differences of two settings on the same fresh seeds, and whether they are more than chance.

    Args:
        metric: what they are compared by, lower the better.
        pairs: for each seed the two values: {"seed", "winner", "default"}.
        about: what else is to be known: n, split, floor; `failed`, the trainings that gave no value.
    """
    differences = [pair["winner"] - pair["default"] for pair in pairs]
    value, low, high = interval(differences)
    says = "one seed says nothing of chance"
    if not any(differences):
        says = "the winner is what the config has"
    elif low is not None and high is not None:
        says = "better" if high < 0 else "worse" if low > 0 else "no significant gain"
    lost = {side: sum(one["side"] == side for one in about.get("failed", ())) for side in SIDES}
    if lost["winner"] > lost["default"]:
        says = f"the winner failed on {lost['winner']} of {lost['winner'] + len(pairs)} seeds"
    told = {name: [pair[name if name != "seeds" else "seed"] for pair in pairs] for name in ("seeds", *SIDES)}
    return (
        about
        | told
        | {"metric": metric, "difference": {"value": value, "low": low, "high": high}, "says": says}
    )


SIDES = ("winner", "default")
