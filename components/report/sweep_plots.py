"""The plots of a sweep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from components.report.metric_labels import Measure
from components.report.reading import Object, as_list, as_object, is_number, rounded
from components.report.sweep_reading import lost, objects, words
from components.report.sweep_tables import began_with
from components.tuning.recommendations import written


def plot_of(
    family: str,
    told: Object,
    spaces: Sequence[Object],
    trials: Sequence[Object],
    winner: Object,
    shown: Measure,
) -> dict[str, Any]:
    """The plot of all trials: parallel coordinates, the best so far, the rungs."""
    settings, cost = as_object(told.get("settings")), as_object(told.get("cost"))
    axes = [_axis(space, trials) for space in spaces]
    rungs = [rung for rung in as_list(settings.get("rungs")) if isinstance(rung, int)]
    floor = as_object(told.get("metric")).get("floor")
    times = 100 if shown.percent else 1
    unit = "\u00a0%" if shown.percent else ""
    return {
        "family": family,
        "sampling": told.get("kind") == "sampling",
        "metric": f"{shown.label}{f', {unit.strip()}' if unit else ''}",
        "floor": rounded(times * floor) if is_number(floor) else None,
        "bound": shown.bound,
        "cost": {"name": words(cost.get("name")) or "cost", "unit": words(cost.get("unit"))},
        "scheduler": str(settings.get("scheduler") or "none"),
        "rungs": rungs,
        "steps": settings.get("steps") if is_number(settings.get("steps")) else None,
        "axes": axes,
        "winner": winner.get("number") if isinstance(winner.get("number"), int) else None,
        "trials": [_trial(trial, axes, rungs, times) for trial in trials],
        "moves": _moves(told, settings),
        "spent": spent(trials, times),
    }


def _axis(space: Object, trials: Sequence[Object]) -> dict[str, Any]:
    """An axis of the parallel coordinates: a stretch of numbers, or choices in their order."""
    name = space["name"]
    tried = [as_object(one.get("values")).get(name) for trial in trials for one in (began_with(trial), trial)]
    numbers = [value for value in (*tried, space.get("low"), space.get("high")) if is_number(value)]
    wanted = space["recommended"] if space.get("recommended") is not None else space.get("default")
    if is_number(space.get("low")) and is_number(space.get("high")) and numbers:
        low, high = min(numbers), max(numbers)
        return {
            "name": name,
            "low": rounded(low),
            "high": rounded(high),
            "log": space.get("scale") == "log" and low > 0,
            "wanted": rounded(wanted) if is_number(wanted) else None,
        }
    given = [value for value in as_list(space.get("values")) + tried if value is not None]
    choices = list(dict.fromkeys(map(written, given)))
    return {
        "name": name,
        "choices": choices,
        "wanted": choices.index(written(wanted)) if written(wanted) in choices else None,
    }


def _trial(trial: Object, axes: Sequence[Object], rungs: Sequence[int], times: int) -> dict[str, Any]:
    began = began_with(trial)
    points, first = _points(trial, times), _points(began, times)

    def places(values: Object) -> list[Any]:
        return [_at(axis, values.get(axis["name"])) for axis in axes]

    return {
        "n": trial["number"],
        "state": str(trial.get("state") or ""),
        "at": places(as_object(trial.get("values"))),
        "began": places(as_object(began.get("values"))),
        "value": rounded(times * trial["value"]) if is_number(trial.get("value")) else None,
        "first": next((value for judged, _, value in first if rungs and judged == min(rungs)), None),
        "cost": rounded(trial["cost"]) if is_number(trial.get("cost")) else None,
        "step": trial.get("step") if is_number(trial.get("step")) else None,
        "curve": points,
    }


def _points(trial: Object, times: int) -> list[list[Any]]:
    """A curve: judgement, step and value."""
    return [
        [p["judged"], p.get("step"), rounded(times * p["value"])]
        for p in objects(trial.get("curve"))
        if isinstance(p.get("judged"), int) and is_number(p.get("value"))
    ]


def _moves(told: Object, settings: Object) -> list[dict[str, Any]]:
    """Who went on from whose weights, at which step and with which values: the decisions of a population."""
    steps, judgements = settings.get("steps"), settings.get("judgements")
    if not (is_number(steps) and is_number(judgements) and judgements):
        return []
    return [
        {
            "step": rounded(steps * one["judged"] / judgements),
            "trial": one["trial"],
            "from": one["donor"],
            "values": ", ".join(f"{k} {written(v)}" for k, v in as_object(one.get("values")).items()),
        }
        for one in objects(told.get("decisions"))
        if all(is_number(one.get(key)) for key in ("judged", "trial", "donor"))
    ]


def _at(axis: Object, value: Any) -> Any:
    if "choices" in axis:
        return axis["choices"].index(written(value)) if written(value) in axis["choices"] else None
    return rounded(value) if is_number(value) else None


def spent(trials: Sequence[Object], times: int = 1) -> list[list[Any]]:
    """The best so far against all that was spent: [spent, trial, its score, the best], as trials ended."""

    def ended(trial: Object) -> tuple[float, int]:
        begun, took = trial.get("offset"), trial.get("seconds")
        at = (begun + (took if is_number(took) else 0)) if is_number(begun) else math.inf
        return at, trial["number"]

    total, best, points = 0.0, math.inf, []
    for trial in sorted(trials, key=ended):
        if trial.get("state") == "running" or not is_number(trial.get("cost")):
            continue
        total += trial["cost"]
        value = trial.get("value") if is_number(trial.get("value")) else None
        if value is not None and not lost(trial):
            best = min(best, value)
        points.append(
            [
                rounded(total),
                trial["number"],
                None if value is None else rounded(times * value),
                rounded(times * best) if math.isfinite(best) else None,
            ]
        )
    return points
