"""What a sweep has found, for the page: sentences, tables, and the numbers that its plots are drawn from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from components.report import formatting
from components.report.metric_labels import Measure, measure
from components.report.reading import Object, as_list, as_object, is_number
from components.report.sweep_plots import plot_of
from components.report.sweep_reading import STATES, lost, objects, words
from components.report.sweep_tables import confirmation_of, finalists_of, findings, trials_table, winner_of

SEARCHERS = {"random": "random search", "grid": "a grid", "optuna": "Optuna’s TPE"}

SCHEDULERS = {"asha": "ASHA", "pbt": "population-based training", "none": "none: every trial runs to its end"}

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
    spaces = [s for s in objects(told.get("hyperparameters")) if isinstance(s.get("name"), str)]
    trials = sorted(
        (t for t in objects(told.get("trials")) if isinstance(t.get("number"), int)),
        key=lambda trial: trial["number"],
    )
    settings = as_object(told.get("settings"))
    winner = as_object(told.get("winner"))
    table = trials_table(told, spaces, trials, shown, pictures)
    return {
        "family": family,
        "sampling": told.get("kind") == "sampling",
        "running": running,
        "verdict": verdict(told, trials, duel, running, shown),
        "facts": _facts(told, settings, shown),
        "how": _how(settings, trials),
        "overhead": _overhead(as_object(told.get("overhead_seconds"))),
        "winner": winner_of(winner, spaces),
        "table": table,
        "corner": isinstance(resolution, int) and 0 < resolution <= LARGEST,
        "thumb": THUMB,
        "findings": findings(told, spaces),
        "importance": _of_importance(as_object(told.get("importance"))),
        "finalists": finalists_of(told, winner, shown),
        "duel": confirmation_of(duel, shown),
        "decisions": [
            {
                "at": formatting.duration(decision.get("offset")),
                "trial": formatting.number(decision.get("trial")),
                "judged": formatting.number(decision.get("judged")),
                "did": words(decision.get("did")),
                "why": words(decision.get("why")),
            }
            for decision in objects(told.get("decisions"))
        ],
        "in_view": IN_VIEW,
        "drawn": plot_of(family, told, spaces, trials, winner, shown),
    }


def verdict(told: Object, trials: Sequence[Object], duel: Object, running: bool, shown: Measure) -> str:
    """How many trials did what, which won, and whether it beats the default."""
    settings, winner = as_object(told.get("settings")), as_object(told.get("winner"))
    planned = settings.get("trials")
    if not trials:
        return "No trial has started yet." if running else "The sweep has left no trials."
    many = "1 trial" if len(trials) == 1 else f"{formatting.number(len(trials))} trials"
    if running and isinstance(planned, int) and planned > len(trials):
        many = f"{formatting.number(len(trials))} of {formatting.number(planned)} trials so far"
    counts = Counter(str(trial.get("state") or "in no known state") for trial in trials)
    states = [
        f"{formatting.number(counts[s])} {STATES.get(s, s)}"
        for s in [*STATES, *sorted(set(counts) - set(STATES))]
        if counts[s]
    ]
    said = [f"{many}: {formatting.listing(states)}."]
    if isinstance(winner.get("number"), int):
        why = words(winner.get("why")).rstrip(".")
        who = f"Trial {winner['number']}" if winner["number"] else "What the config has"
        said.append(f"{who} won{f': {why}' if why else ''}.")
    elif best := _best(trials):
        so_far = " so far" if running else ""
        said.append(f"Trial {best['number']} is best{so_far}: {shown.label} {shown.show(best['value'])}.")
    if running and is_number(told.get("seconds_left")):
        said.append(f"About {formatting.duration(told['seconds_left'])} left.")
    if words(duel.get("says")):
        said.append(f"Against the default: {words(duel.get('says')).rstrip('.')}.")
    return " ".join(said)


def _best(trials: Sequence[Object]) -> Object | None:
    judged = [trial for trial in trials if is_number(trial.get("value")) and not lost(trial)]
    return min(judged, key=lambda trial: trial["value"], default=None)


def _facts(told: Object, settings: Object, shown: Measure) -> list[tuple[str, str]]:
    metric = as_object(told.get("metric"))
    count, split, floor = metric.get("n"), words(metric.get("split")), metric.get("floor")
    images = f" of {formatting.number(count)} images" if is_number(count) else ""
    against = f" against the {split} split" if split else ""
    bound = f"; {shown.bound} {shown.show_limit(floor)}" if is_number(floor) else ""
    searcher = str(settings.get("searcher") or "")
    scheduler = str(settings.get("scheduler") or "none")
    rungs = [str(rung) for rung in as_list(settings.get("rungs")) if isinstance(rung, int)]
    stops = f", after judgement {formatting.listing(rungs)}" if rungs and scheduler in SCHEDULED else ""
    best = (
        f" the best 1 in {formatting.short(settings['factor'])} go on"
        if is_number(settings.get("factor"))
        else ""
    )
    keeps = f":{best}" if best and stops and scheduler == "asha" else ""
    steps, judgements, diversity = (settings.get(name) for name in ("steps", "judgements", "diversity"))
    facts = [
        ("Judged by", f"{shown.label}{images}{against}{bound}" if metric else ""),
        ("Searched with", SEARCHERS.get(searcher, searcher)),
        ("Scheduler", f"{SCHEDULERS.get(scheduler, scheduler)}{stops}{keeps}" if settings else ""),
        (
            "Each trial",
            f"{formatting.number(steps)} steps, judged {formatting.number(judgements)} times"
            if is_number(steps) and is_number(judgements)
            else "",
        ),
        (
            "Diversity",
            f"at least {formatting.short(diversity)} of that of real images, else a trial counts as collapsed"
            if is_number(diversity)
            else "",
        ),
        ("Seed", formatting.number(told.get("seed")) if isinstance(told.get("seed"), int) else ""),
    ]
    return [(name, value) for name, value in facts if value]


def _how(settings: Object, trials: Sequence[Object]) -> str:
    """How many trials run side by side, and why."""
    many, why = settings.get("concurrent"), words(settings.get("because")).rstrip(".")
    if not isinstance(many, int):
        return ""
    side = "One trial at a time" if many == 1 else f"{formatting.number(many)} trials side by side"
    return f"{side}{f': {why}' if why else ''}."


def _overhead(seconds: Object) -> str:
    mean, most = seconds.get("mean"), seconds.get("max")
    if not is_number(mean):
        return ""
    worst = f", {formatting.duration(most)} at most" if is_number(most) else ""
    said = f"Beyond its training and judging, a trial took {formatting.duration(mean)} in the mean{worst}."
    return re.sub(r"(?<=\d) (?=s\b)", "\u00a0", said)


def _of_importance(importance: Object) -> str:
    if not importance.get("of"):
        return ""
    count, at = importance.get("n"), words(importance.get("at"))
    trials = f" of {formatting.number(count)} trials" if is_number(count) else ""
    return f"how much of the ranking{trials}{f', as they stood at {at},' if at else ''} it explains alone"
