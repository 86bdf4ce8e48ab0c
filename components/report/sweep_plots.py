"""The plots of a sweep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from components.common.finite import is_number
from components.records.sweep import SearchedHyperparameter, SweepResult
from components.records.trial import Trial, TrialState, Values
from components.report.metric_labels import Measure
from components.report.reading import rounded
from components.tuning.recommendations import written

Plot = Mapping[str, Any]
"""Data for sweep.js, as JSON."""


def plot_of(family: str, swept: SweepResult, metric: Measure) -> Plot:
    """Return the data of the plots: parallel coordinates, the best so far, the rungs."""
    axes = [_axis(space, swept.trials) for space in swept.hyperparameters]
    times = 100 if metric.percent else 1
    real_baseline = swept.metric.real_baseline
    return {
        "family": family,
        "sampling": swept.kind == "sampling",
        "metric": f"{metric.label}, %" if metric.percent else metric.label,
        "real_baseline": None if real_baseline is None else rounded(times * real_baseline),
        "bound": metric.bound,
        "cost": {"name": swept.cost.name or "cost", "unit": swept.cost.unit},
        "scheduler": swept.settings.scheduler or "none",
        "rungs": swept.settings.rungs,
        "steps": swept.settings.steps,
        "axes": axes,
        "winner": swept.winner.number if swept.winner else None,
        "trials": [_trial(trial, axes, swept.settings.rungs, times) for trial in swept.trials],
        "moves": _moves(swept),
        "spent": spent(swept.trials, times),
    }


def _axis(space: SearchedHyperparameter, trials: Sequence[Trial]) -> Plot:
    """Return an axis of the parallel coordinates: a range of numbers, or choices in their order."""
    tried = [state.values.get(space.name) for trial in trials for state in (trial.original, trial)]
    marked = space.recommended if space.recommended is not None else space.default
    if space.low is not None and space.high is not None:
        numbers = [value for value in (*tried, space.low, space.high) if is_number(value)]
        low, high = min(numbers), max(numbers)
        return {
            "name": space.name,
            "low": rounded(low),
            "high": rounded(high),
            "log": space.scale == "log" and low > 0,
            "wanted": rounded(marked) if is_number(marked) else None,
        }
    values = [value for value in (space.values or []) + tried if value is not None]
    choices = list(dict.fromkeys(map(written, values)))
    at = choices.index(written(marked)) if written(marked) in choices else None
    return {"name": space.name, "choices": choices, "wanted": at}


def _trial(trial: Trial, axes: Sequence[Plot], rungs: Sequence[int], times: int) -> Plot:
    original = _points(trial.original, times)
    return {
        "n": trial.number,
        "state": trial.state,
        "at": _positions(axes, trial.values),
        "began": _positions(axes, trial.original.values),
        "value": None if trial.value is None else rounded(times * trial.value),
        "first": next((value for judged, _, value in original if rungs and judged == min(rungs)), None),
        "cost": rounded(trial.cost),
        "step": trial.step,
        "curve": _points(trial, times),
    }


def _points(trial: TrialState, times: int) -> list[tuple[int, int, float]]:
    """Return a curve as evaluation, step and value."""
    return [(p.judged, p.step, rounded(times * p.value)) for p in trial.curve if p.value is not None]


def _positions(axes: Sequence[Plot], values: Values) -> list[Any]:
    """Return the positions of values along the axes."""
    return [_position(axis, values.get(axis["name"])) for axis in axes]


def _position(axis: Plot, value: Any) -> Any:
    if "choices" in axis:
        return axis["choices"].index(written(value)) if written(value) in axis["choices"] else None
    return rounded(value) if is_number(value) else None


def _moves(swept: SweepResult) -> list[Plot]:
    """Return which trial of a population continued from which other, at which step, with which values."""
    steps, evaluations = swept.settings.steps, swept.settings.evaluations
    if steps is None or not evaluations:
        return []
    return [
        {
            "step": rounded(steps * decision.judged / evaluations),
            "trial": decision.trial,
            "from": decision.donor,
            "values": ", ".join(f"{name} {written(v)}" for name, v in (decision.values or {}).items()),
        }
        for decision in swept.decisions
        if decision.donor is not None
    ]


def spent(trials: Sequence[Trial], times: int = 1) -> list[tuple[float, int, float | None, float | None]]:
    """Return (total cost, trial, its value, the best value so far) of each trial, as they ended."""

    def ended(trial: Trial) -> tuple[float, int]:
        return math.inf if trial.offset is None else trial.offset + trial.seconds, trial.number

    total, best = 0.0, math.inf
    points: list[tuple[float, int, float | None, float | None]] = []
    for trial in sorted(trials, key=ended):
        if trial.state == "running" or trial.cost is None:
            continue
        total += trial.cost
        if trial.value is not None and not trial.cannot_win:
            best = min(best, trial.value)
        value = None if trial.value is None else rounded(times * trial.value)
        best_so_far = rounded(times * best) if math.isfinite(best) else None
        points.append((rounded(total), trial.number, value, best_so_far))
    return points
