"""The tables of a sweep."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

from components.report import formatting
from components.report.metric_labels import Measure, measure
from components.report.reading import Object, as_list, as_object, is_number, rounded
from components.report.sweep_reading import STATES, copies, lost, objects, words
from components.tuning.recommendations import written


def winner_of(winner: Object, spaces: Sequence[Object]) -> dict[str, Any] | None:
    """The winner's values beside the defaults, and its schedule where it is one."""
    if not winner:
        return None
    values, defaults = as_object(winner.get("values")), {s["name"]: s.get("default") for s in spaces}
    return {
        "number": formatting.number(winner.get("number")),
        "values": [
            {
                "name": str(name),
                "value": written(value),
                "default": written(defaults[name]) if name in defaults and defaults[name] != value else "",
            }
            for name, value in values.items()
        ],
        "schedule": [
            {
                "step": formatting.number(part.get("step")),
                "values": [(str(k), written(v)) for k, v in as_object(part.get("values")).items()],
                "from": formatting.number(part["from"]) if part.get("from") is not None else "",
            }
            for part in objects(winner.get("schedule"))
        ],
    }


def trials_table(
    told: Object,
    spaces: Sequence[Object],
    trials: Sequence[Object],
    shown: Measure,
    pictures: Collection[str],
) -> dict[str, Any]:
    """The trials, the best first; those that cannot win last."""
    cost, guarded = as_object(told.get("cost")), any(_diversity(trial) is not None for trial in trials)
    winner = as_object(told.get("winner")).get("number")
    ordered = sorted(
        trials,
        key=lambda t: (
            lost(t),
            not is_number(t.get("value")),
            t["value"] if is_number(t.get("value")) else 0,
        ),
    )
    rungs = as_object(told.get("settings")).get("scheduler") == "asha"
    return {
        "metric": shown.label,
        "cost": words(cost.get("name")).capitalize() or "Cost",
        "names": [s["name"] for s in spaces],
        "guarded": guarded,
        "rungs": rungs,
        "pictured": any(copies(trial.get("picture")) in pictures for trial in trials),
        "rows": [
            {
                "number": trial["number"],
                "won": trial["number"] == winner,
                "lost": lost(trial),
                "picture": name if (name := copies(trial.get("picture"))) in pictures else None,
                "values": [_value(trial, space["name"]) for space in spaces],
                "score": shown.show(trial["value"]) if is_number(trial.get("value")) else formatting.NONE,
                "sort": rounded(trial["value"]) if is_number(trial.get("value")) else "",
                "step": formatting.number(trial.get("step")) if is_number(trial.get("step")) else "",
                "diversity": formatting.number(_diversity(trial)),
                "cost": _cost(trial.get("cost"), cost),
                "cost_sort": rounded(trial["cost"]) if is_number(trial.get("cost")) else "",
                "rung": formatting.number(trial.get("rung")),
                "state": str(trial.get("state") or ""),
                "said": STATES.get(str(trial.get("state")), str(trial.get("state") or "")),
                "reason": words(trial.get("reason")),
                "events": trial.get("events") if is_number(trial.get("events")) else 0,
                "key": str(trial.get("key") or "")[:12],
                "uri": words(trial.get("uri")),
            }
            for trial in ordered
        ],
    }


def _value(trial: Object, name: str) -> dict[str, Any]:
    """A cell; of a trial that changed on its way, where it began and where it ended."""
    last = as_object(trial.get("values")).get(name)
    first = as_object(began_with(trial).get("values")).get(name, last)
    shown = written(first) if first is not None else formatting.NONE
    return {
        "text": shown if last == first else f"{shown} → {written(last)}",
        "sort": rounded(last) if is_number(last) else str(last),
        "number": is_number(first),
    }


def began_with(trial: Object) -> Object:
    """A trial as it was before it went on from another, if it did."""
    return as_object(trial.get("began")) or trial


def _diversity(trial: Object) -> float | None:
    points = [p["diversity"] for p in objects(trial.get("curve")) if is_number(p.get("diversity"))]
    return points[-1] if points else None


def _cost(value: Any, cost: Object) -> str:
    if not is_number(value):
        return formatting.NONE
    unit = words(cost.get("unit"))
    return formatting.duration(value) if unit == "s" else f"{formatting.short(value)} {unit}".strip()


def findings(told: Object, spaces: Sequence[Object]) -> list[dict[str, Any]]:
    """A row for each hyperparameter: what was searched, how much it matters, what the best say of advice."""
    importance = as_object(as_object(told.get("importance")).get("of"))
    advice = {str(row.get("name")): row for row in objects(told.get("recommendations"))}
    if not importance and not advice:
        return []
    rows = [
        {
            "name": space["name"],
            "searched": _searched(space),
            "importance": _share(as_object(importance.get(space["name"]))),
            "stretch": stretch(space, as_object(advice.get(space["name"]))),
            "shares": _shares(as_object(advice.get(space["name"]))),
            "says": words(as_object(advice.get(space["name"])).get("says")),
            "verdict": words(as_object(advice.get(space["name"])).get("verdict")),
            "source": words(as_object(advice.get(space["name"])).get("source")) or words(space.get("source")),
        }
        for space in spaces
    ]
    return sorted(rows, key=lambda row: -(row["importance"] or {"sort": 0.0})["sort"])


def _searched(space: Object) -> str:
    if is_number(space.get("low")) and is_number(space.get("high")):
        how = {"log": ", logarithmic"}.get(str(space.get("scale")), "")
        return f"{written(space['low'])} to {written(space['high'])}{how}"
    return ", ".join(written(value) for value in as_list(space.get("values")))


def _share(importance: Object) -> dict[str, Any] | None:
    """An importance as a bar from 0 to 100."""
    if not is_number(importance.get("value")):
        return None
    at = {
        end: round(100 * min(max(importance[end], 0.0), 1.0), 1)
        for end in ("value", "low", "high", "chance")
        if is_number(importance.get(end))
    }
    interval = f"{at['low']:.0f} to {at['high']:.0f}" if {"low", "high"} <= set(at) else ""
    return {**at, "sort": at["value"], "text": f"{at['value']:.0f}\u00a0%", "interval": interval}


def stretch(space: Object, row: Object) -> dict[str, float | None] | None:
    """Places from 0 to 100 along what was searched: of the best trials, and of what is recommended."""
    low, high = space.get("low"), space.get("high")
    if not (is_number(low) and is_number(high) and low < high and is_number(row.get("best_low"))):
        return None
    log = space.get("scale") == "log" and low > 0

    def place(value: Any) -> float | None:
        if not is_number(value) or (log and value <= 0):
            return None
        f = math.log if log else float
        share = (f(value) - f(low)) / (f(high) - f(low))
        return round(100 * min(max(share, 0.0), 1.0), 1)

    ends = [place(row.get(name)) for name in ("best_low", "best_high")]
    wanted = place(row.get("recommended"))
    if ends[0] is None or ends[1] is None:
        return None
    return {"low": ends[0], "width": round(ends[1] - ends[0], 1), "recommended": wanted}


def _shares(row: Object) -> list[dict[str, Any]]:
    """Of each choice, how many of the best trials have it, and how many of all."""
    found = [s for s in as_list(row.get("shares")) if isinstance(s, list) and len(s) == 3]
    found = [s for s in found if is_number(s[1]) and is_number(s[2]) and s[2] >= s[1] >= 0]
    return [
        {"name": written(value), "best": formatting.number(best), "all": formatting.number(every)}
        for value, best, every in found
        if every
    ]


def finalists_of(told: Object, winner: Object, shown: Measure) -> dict[str, Any] | None:
    """The table of the finalists; None without any."""
    finalists = [f for f in objects(told.get("finalists")) if is_number(f.get("mean"))]
    if not finalists:
        return None
    values = [
        value
        for finalist in finalists
        for value in (*(finalist.get(k) for k in ("low", "high", "mean")), *_repeats(finalist))
        if is_number(value)
    ]
    low, high = min(values), max(values)

    def place(value: float) -> float:
        return round(4 + 92 * ((value - low) / (high - low) if high > low else 0.5), 1)

    rows = [
        {
            "number": formatting.number(finalist.get("number")),
            "won": finalist.get("number") == winner.get("number"),
            "values": [(str(k), written(v)) for k, v in as_object(finalist.get("values")).items()],
            "mean": shown.show(finalist["mean"]),
            "interval": _interval(finalist, shown),
            "repeats": [shown.show(value) for value in _repeats(finalist)],
            "at": place(finalist["mean"]),
            "ends": [place(finalist[e]) for e in ("low", "high")]
            if all(is_number(finalist.get(e)) for e in ("low", "high"))
            else [],
            "dots": [place(value) for value in _repeats(finalist)],
        }
        for finalist in sorted(finalists, key=lambda finalist: finalist["mean"])
    ]
    counts = {f.get("n") for f in finalists if is_number(f.get("n"))}
    return {
        "rows": rows,
        "metric": shown.label,
        "images": formatting.number(counts.pop()) if len(counts) == 1 else "",
        "seeds": formatting.number(max(len(_repeats(finalist)) for finalist in finalists)),
    }


def _repeats(finalist: Object) -> list[float]:
    return [r["value"] for r in objects(finalist.get("repeats")) if is_number(r.get("value"))]


def _interval(told: Object, shown: Measure) -> str:
    low, high = told.get("low"), told.get("high")
    return shown.show_interval(low, high) if is_number(low) and is_number(high) else ""


def confirmation_of(duel: Object, shown: Measure) -> dict[str, Any] | None:
    """The winner and the default on the same fresh seeds, and the interval of their difference."""
    difference = as_object(duel.get("difference"))
    pair = {side: [v for v in as_list(duel.get(side)) if is_number(v)] for side in ("winner", "default")}
    if not duel or not (pair["winner"] or is_number(difference.get("value"))):
        return None
    own = measure(str(duel.get("metric") or ""), None) if duel.get("metric") else shown
    seeds = [str(seed) for seed in as_list(duel.get("seeds"))]
    ends = [difference.get(name) for name in ("low", "value", "high")]
    known = [end for end in ends if is_number(end)]
    reach = max(map(abs, known), default=0.0) or 1.0
    count, split, floor = duel.get("n"), words(duel.get("split")), duel.get("floor")
    cost = as_object(duel.get("seconds_per_image"))
    timed = all(is_number(cost.get(side)) and cost[side] > 0 for side in pair)
    return {
        "says": words(duel.get("says")),
        "taking": formatting.short(round(cost["winner"] / cost["default"], 2)) if timed else "",
        "metric": own.label,
        "recipe": ", ".join(
            filter(
                None,
                (
                    f"{formatting.number(count)} images" if is_number(count) else "",
                    f"{split} split" if split else "",
                    f"{own.bound} {own.show_limit(floor)}" if is_number(floor) else "",
                ),
            )
        ),
        "rows": [
            {
                "seed": seed,
                **{side: own.show(v[i]) if i < len(v) else formatting.NONE for side, v in pair.items()},
            }
            for i, seed in enumerate(seeds[: max(map(len, pair.values()), default=0)])
        ],
        "means": {side: own.show(sum(v) / len(v)) if v else formatting.NONE for side, v in pair.items()},
        "difference": _signed(difference.get("value"), own) if is_number(ends[1]) else "",
        "interval": f"{_signed(ends[0], own)} to {_signed(ends[2], own)}"
        if is_number(ends[0]) and is_number(ends[2])
        else "",
        "places": [round(50 + 46 * end / reach, 1) for end in known] if len(known) == len(ends) else [],
    }


def _signed(value: Any, shown: Measure) -> str:
    return f"{'+' if value > 0 else '−' if value < 0 else ''}{shown.show(abs(value))}"
