"""What a sweep has found, for the page: sentences, tables, and the numbers that its plots are drawn from."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from components.report import text
from components.report.measures import Measure, measure
from components.report.reading import Object, as_list, as_object, is_number, rounded
from components.tuning.recommendations import written

PICTURE = re.compile(r"store/[\w-]+/(?P<key>[\w-]+)/attempts/(?P<attempt>\d+)/samples/(?P<name>[\w-]+)\.webp")
SEARCHERS = {"random": "random search", "grid": "a grid", "optuna": "Optuna’s TPE"}
SCHEDULERS = {"asha": "ASHA", "pbt": "population-based training", "none": "none: every trial runs to its end"}
STATES = {
    "done": "judged to the end",
    "stopped": "stopped early",
    "collapsed": "collapsed",
    "failed": "failed",
    "running": "running",
    "waiting": "waiting",
}
SCHEDULED = ("asha", "pbt")
IN_VIEW = 12  # rows of a table beyond which it scrolls in itself
WIDE = 8  # from the smallest score to the largest: beyond, a logarithmic axis
THUMB = (112, 56)  # pixels of the upper left corner of a sheet
LARGEST = 112  # pixels along a side of an image of which a corner can be shown


def of_family(
    family: str, told: Object, duel: Object, running: bool, pictures: Collection[str], resolution: Any
) -> dict[str, Any]:
    """What the page shows of the sweep of a family.

    Args:
        family: its name.
        told: what the sweep's result says under "swept", or so far its progress.
        duel: what was found of the winner against the default; empty before.
        running: whether there is more to come.
        pictures: the names of trials' pictures beside the page, as `copies` names them.
        resolution: pixels along a side of an image, where known.

    Returns:
        the page's words and tables; under "drawn" what the script draws.
    """
    shown = measure(str(as_object(told.get("metric")).get("name") or "score"))
    spaces = [s for s in _objects(told.get("hyperparameters")) if isinstance(s.get("name"), str)]
    trials = sorted(
        (t for t in _objects(told.get("trials")) if isinstance(t.get("number"), int)),
        key=lambda trial: trial["number"],
    )
    settings = as_object(told.get("settings"))
    winner = as_object(told.get("winner"))
    table = _table(told, spaces, trials, shown, pictures)
    return {
        "family": family,
        "sampling": told.get("kind") == "sampling",
        "running": running,
        "verdict": verdict(told, trials, duel, running, shown),
        "facts": _facts(told, settings, shown),
        "how": _how(settings, trials),
        "overhead": _overhead(as_object(told.get("overhead_seconds"))),
        "winner": _winner(winner, spaces),
        "table": table,
        "corner": isinstance(resolution, int) and 0 < resolution <= LARGEST,
        "thumb": THUMB,
        "findings": _findings(told, spaces),
        "importance": _of_importance(as_object(told.get("importance"))),
        "finalists": _finalists(told, winner, shown),
        "duel": _duel(duel, shown),
        "decisions": [
            {
                "at": text.duration(decision.get("offset")),
                "trial": text.number(decision.get("trial")),
                "judged": text.number(decision.get("judged")),
                "did": _words(decision.get("did")),
                "why": _words(decision.get("why")),
            }
            for decision in _objects(told.get("decisions"))
        ],
        "in_view": IN_VIEW,
        "drawn": _drawn(family, told, spaces, trials, winner, shown),
    }


def copies(path: Any) -> str | None:
    """The name beside the page of a picture in the store; None for what is no trial's picture."""
    found = PICTURE.fullmatch(path) if isinstance(path, str) else None
    return f"samples/trial-{found['key'][:24]}-{found['attempt']}-{found['name']}.webp" if found else None


def _objects(value: Any) -> list[Object]:
    return [as_object(item) for item in as_list(value) if as_object(item)]


def _words(value: Any) -> str:
    return value if isinstance(value, str) else ""


# Sentences


def verdict(told: Object, trials: Sequence[Object], duel: Object, running: bool, shown: Measure) -> str:
    """How many trials did what, which won, and whether it beats the default."""
    settings, winner = as_object(told.get("settings")), as_object(told.get("winner"))
    planned = settings.get("trials")
    if not trials:
        return "No trial has started yet." if running else "The sweep has left no trials."
    many = "1 trial" if len(trials) == 1 else f"{text.number(len(trials))} trials"
    if running and isinstance(planned, int) and planned > len(trials):
        many = f"{text.number(len(trials))} of {text.number(planned)} trials so far"
    counts = Counter(str(trial.get("state") or "in no known state") for trial in trials)
    states = [
        f"{text.number(counts[s])} {STATES.get(s, s)}"
        for s in [*STATES, *sorted(set(counts) - set(STATES))]
        if counts[s]
    ]
    said = [f"{many}: {text.listing(states)}."]
    if isinstance(winner.get("number"), int):
        why = _words(winner.get("why")).rstrip(".")
        who = f"Trial {winner['number']}" if winner["number"] else "What the config has"
        said.append(f"{who} won{f': {why}' if why else ''}.")
    elif best := _best(trials):
        so_far = " so far" if running else ""
        said.append(f"Trial {best['number']} is best{so_far}: {shown.label} {shown.show(best['value'])}.")
    if running and is_number(told.get("seconds_left")):
        said.append(f"About {text.duration(told['seconds_left'])} left.")
    if _words(duel.get("says")):
        said.append(f"Against the default: {_words(duel.get('says')).rstrip('.')}.")
    return " ".join(said)


def _best(trials: Sequence[Object]) -> Object | None:
    judged = [trial for trial in trials if is_number(trial.get("value")) and not _lost(trial)]
    return min(judged, key=lambda trial: trial["value"], default=None)


def _lost(trial: Object) -> bool:
    """Whether a trial cannot win, whatever its score."""
    return trial.get("state") in ("failed", "collapsed")


def _facts(told: Object, settings: Object, shown: Measure) -> list[tuple[str, str]]:
    metric = as_object(told.get("metric"))
    count, split, floor = metric.get("n"), _words(metric.get("split")), metric.get("floor")
    images = f" of {text.number(count)} images" if is_number(count) else ""
    against = f" against the {split} split" if split else ""
    bound = f"; {shown.bound} {shown.show_limit(floor)}" if is_number(floor) else ""
    searcher = str(settings.get("searcher") or "")
    scheduler = str(settings.get("scheduler") or "none")
    rungs = [str(rung) for rung in as_list(settings.get("rungs")) if isinstance(rung, int)]
    stops = f", after judgement {text.listing(rungs)}" if rungs and scheduler in SCHEDULED else ""
    best = (
        f" the best 1 in {text.short(settings['factor'])} go on" if is_number(settings.get("factor")) else ""
    )
    keeps = f":{best}" if best and stops and scheduler == "asha" else ""
    steps, judgements, diversity = (settings.get(name) for name in ("steps", "judgements", "diversity"))
    facts = [
        ("Judged by", f"{shown.label}{images}{against}{bound}" if metric else ""),
        ("Searched with", SEARCHERS.get(searcher, searcher)),
        ("Scheduler", f"{SCHEDULERS.get(scheduler, scheduler)}{stops}{keeps}" if settings else ""),
        (
            "Each trial",
            f"{text.number(steps)} steps, judged {text.number(judgements)} times"
            if is_number(steps) and is_number(judgements)
            else "",
        ),
        (
            "Diversity",
            f"at least {text.short(diversity)} of that of real images, else a trial counts as collapsed"
            if is_number(diversity)
            else "",
        ),
        ("Seed", text.number(told.get("seed")) if isinstance(told.get("seed"), int) else ""),
    ]
    return [(name, value) for name, value in facts if value]


def _how(settings: Object, trials: Sequence[Object]) -> str:
    """How many trials run side by side, and why."""
    many, why = settings.get("concurrent"), _words(settings.get("because")).rstrip(".")
    if not isinstance(many, int):
        return ""
    side = "One trial at a time" if many == 1 else f"{text.number(many)} trials side by side"
    return f"{side}{f': {why}' if why else ''}."


def _overhead(seconds: Object) -> str:
    mean, most = seconds.get("mean"), seconds.get("max")
    if not is_number(mean):
        return ""
    worst = f", {text.duration(most)} at most" if is_number(most) else ""
    said = f"Beyond its training and judging, a trial took {text.duration(mean)} in the mean{worst}."
    return re.sub(r"(?<=\d) (?=s\b)", "\u00a0", said)


def _of_importance(importance: Object) -> str:
    if not importance.get("of"):
        return ""
    count, at = importance.get("n"), _words(importance.get("at"))
    trials = f" of {text.number(count)} trials" if is_number(count) else ""
    return f"how much of the ranking{trials}{f', as they stood at {at},' if at else ''} it explains alone"


def _winner(winner: Object, spaces: Sequence[Object]) -> dict[str, Any] | None:
    """The winner's values beside the defaults, and its schedule where it is one."""
    if not winner:
        return None
    values, defaults = as_object(winner.get("values")), {s["name"]: s.get("default") for s in spaces}
    return {
        "number": text.number(winner.get("number")),
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
                "step": text.number(part.get("step")),
                "values": [(str(k), written(v)) for k, v in as_object(part.get("values")).items()],
                "from": text.number(part["from"]) if part.get("from") is not None else "",
            }
            for part in _objects(winner.get("schedule"))
        ],
    }


# Tables


def _table(
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
            _lost(t),
            not is_number(t.get("value")),
            t["value"] if is_number(t.get("value")) else 0,
        ),
    )
    rungs = as_object(told.get("settings")).get("scheduler") == "asha"
    return {
        "metric": shown.label,
        "cost": _words(cost.get("name")).capitalize() or "Cost",
        "names": [s["name"] for s in spaces],
        "guarded": guarded,
        "rungs": rungs,
        "pictured": any(copies(trial.get("picture")) in pictures for trial in trials),
        "rows": [
            {
                "number": trial["number"],
                "won": trial["number"] == winner,
                "lost": _lost(trial),
                "picture": name if (name := copies(trial.get("picture"))) in pictures else None,
                "values": [_value(trial, space["name"]) for space in spaces],
                "score": shown.show(trial["value"]) if is_number(trial.get("value")) else text.NONE,
                "sort": rounded(trial["value"]) if is_number(trial.get("value")) else "",
                "step": text.number(trial.get("step")) if is_number(trial.get("step")) else "",
                "diversity": text.number(_diversity(trial)),
                "cost": _cost(trial.get("cost"), cost),
                "cost_sort": rounded(trial["cost"]) if is_number(trial.get("cost")) else "",
                "rung": text.number(trial.get("rung")),
                "state": str(trial.get("state") or ""),
                "said": STATES.get(str(trial.get("state")), str(trial.get("state") or "")),
                "reason": _words(trial.get("reason")),
                "events": trial.get("events") if is_number(trial.get("events")) else 0,
                "key": str(trial.get("key") or "")[:12],
                "uri": _words(trial.get("uri")),
            }
            for trial in ordered
        ],
    }


def _value(trial: Object, name: str) -> dict[str, Any]:
    """A cell; of a trial that changed on its way, where it began and where it ended."""
    last = as_object(trial.get("values")).get(name)
    first = as_object(_began(trial).get("values")).get(name, last)
    shown = written(first) if first is not None else text.NONE
    return {
        "text": shown if last == first else f"{shown} → {written(last)}",
        "sort": rounded(last) if is_number(last) else str(last),
        "number": is_number(first),
    }


def _began(trial: Object) -> Object:
    """A trial as it was before it went on from another, if it did."""
    return as_object(trial.get("began")) or trial


def _diversity(trial: Object) -> float | None:
    points = [p["diversity"] for p in _objects(trial.get("curve")) if is_number(p.get("diversity"))]
    return points[-1] if points else None


def _cost(value: Any, cost: Object) -> str:
    if not is_number(value):
        return text.NONE
    unit = _words(cost.get("unit"))
    return text.duration(value) if unit == "s" else f"{text.short(value)} {unit}".strip()


def _findings(told: Object, spaces: Sequence[Object]) -> list[dict[str, Any]]:
    """A row for each hyperparameter: what was searched, how much it matters, what the best say of advice."""
    importance = as_object(as_object(told.get("importance")).get("of"))
    advice = {str(row.get("name")): row for row in _objects(told.get("recommendations"))}
    if not importance and not advice:
        return []
    rows = [
        {
            "name": space["name"],
            "searched": _searched(space),
            "importance": _share(as_object(importance.get(space["name"]))),
            "stretch": stretch(space, as_object(advice.get(space["name"]))),
            "shares": _shares(as_object(advice.get(space["name"]))),
            "says": _words(as_object(advice.get(space["name"])).get("says")),
            "verdict": _words(as_object(advice.get(space["name"])).get("verdict")),
            "source": _words(as_object(advice.get(space["name"])).get("source"))
            or _words(space.get("source")),
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
        {"name": written(value), "best": text.number(best), "all": text.number(every)}
        for value, best, every in found
        if every
    ]


def _finalists(told: Object, winner: Object, shown: Measure) -> dict[str, Any] | None:
    finalists = [f for f in _objects(told.get("finalists")) if is_number(f.get("mean"))]
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
            "number": text.number(finalist.get("number")),
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
        "images": text.number(counts.pop()) if len(counts) == 1 else "",
        "seeds": text.number(max(len(_repeats(finalist)) for finalist in finalists)),
    }


def _repeats(finalist: Object) -> list[float]:
    return [r["value"] for r in _objects(finalist.get("repeats")) if is_number(r.get("value"))]


def _interval(told: Object, shown: Measure) -> str:
    return shown.show_interval(told) if is_number(told.get("low")) and is_number(told.get("high")) else ""


def _duel(duel: Object, shown: Measure) -> dict[str, Any] | None:
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
    count, split, floor = duel.get("n"), _words(duel.get("split")), duel.get("floor")
    cost = as_object(duel.get("seconds_per_image"))
    timed = all(is_number(cost.get(side)) and cost[side] > 0 for side in pair)
    return {
        "says": _words(duel.get("says")),
        "taking": text.short(round(cost["winner"] / cost["default"], 2)) if timed else "",
        "metric": own.label,
        "recipe": ", ".join(
            filter(
                None,
                (
                    f"{text.number(count)} images" if is_number(count) else "",
                    f"{split} split" if split else "",
                    f"{own.bound} {own.show_limit(floor)}" if is_number(floor) else "",
                ),
            )
        ),
        "rows": [
            {
                "seed": seed,
                **{side: own.show(v[i]) if i < len(v) else text.NONE for side, v in pair.items()},
            }
            for i, seed in enumerate(seeds[: max(map(len, pair.values()), default=0)])
        ],
        "means": {side: own.show(sum(v) / len(v)) if v else text.NONE for side, v in pair.items()},
        "difference": _signed(difference.get("value"), own) if is_number(ends[1]) else "",
        "interval": f"{_signed(ends[0], own)} to {_signed(ends[2], own)}"
        if is_number(ends[0]) and is_number(ends[2])
        else "",
        "places": [round(50 + 46 * end / reach, 1) for end in known] if len(known) == len(ends) else [],
    }


def _signed(value: Any, shown: Measure) -> str:
    return f"{'+' if value > 0 else '−' if value < 0 else ''}{shown.show(abs(value))}"


# Plots


def _drawn(
    family: str,
    told: Object,
    spaces: Sequence[Object],
    trials: Sequence[Object],
    winner: Object,
    shown: Measure,
) -> dict[str, Any]:
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
        "cost": {"name": _words(cost.get("name")) or "cost", "unit": _words(cost.get("unit"))},
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
    tried = [as_object(one.get("values")).get(name) for trial in trials for one in (_began(trial), trial)]
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
    began = _began(trial)
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
        for p in _objects(trial.get("curve"))
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
        for one in _objects(told.get("decisions"))
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
        if value is not None and not _lost(trial):
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
