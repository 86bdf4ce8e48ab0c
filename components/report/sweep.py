"""The section of a sweep on the page: sentences, tables, and the data of its plots."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from components.records.sweep import Confirmation, Importance, Overhead, SweepResult, SweepSettings
from components.records.trial import Trial, Values
from components.report import formatting
from components.report.metric_labels import Measure, measure
from components.report.sweep_plots import Plot, plot_of
from components.report.sweep_tables import (
    STATES,
    ConfirmationTable,
    FinalistRow,
    Finding,
    Row,
    confirmation_of,
    finalist_rows,
    findings,
    trial_rows,
)

SEARCHERS = {"random": "random search", "grid": "a grid", "optuna": "Optuna’s TPE"}

SCHEDULERS = {"asha": "ASHA", "pbt": "population-based training", "none": "none: every trial runs to its end"}

IN_VIEW = 12  # rows of a table beyond which it scrolls

THUMB = (112, 56)  # pixels of the upper left corner of a sheet

LARGEST = 112  # largest side, in pixels, of an image that fits the corner of a sheet


class SweepSection(NamedTuple):
    """The words and tables of a sweep; `drawn` is for the script."""

    family: str
    swept: SweepResult
    metric: Measure
    running: bool
    verdict: str
    facts: list[tuple[str, str]]
    concurrency: str
    rows: list[Row]
    corner: bool  # whether the corner of a picture shows complete images
    findings: list[Finding]
    importance: str
    finalists: list[FinalistRow]
    confirmation: ConfirmationTable | None
    drawn: Plot
    defaults: Values
    states: Mapping[str, str] = STATES
    thumb: tuple[int, int] = THUMB
    in_view: int = IN_VIEW


def section_of(
    family: str,
    swept: SweepResult,
    confirmation: Confirmation | None,
    running: bool,
    pictures: Collection[str],
    resolution: Any,
) -> SweepSection:
    """Return the section of a sweep on the page.

    Args:
        family: its name.
        swept: the sweep's result, or its result so far.
        confirmation: comparison of the winner with the default; None if not finished.
        running: whether the sweep is still running.
        pictures: names of trials' pictures next to the page.
        resolution: pixels along a side of an image, if known.
    """
    metric = measure(swept.metric.name or "score")
    swept.trials.sort(key=lambda trial: trial.number)
    concurrency = f"{_concurrency(swept.settings)} {_overhead(swept.overhead_seconds)}".strip()
    return SweepSection(
        family=family,
        swept=swept,
        metric=metric,
        running=running,
        verdict=verdict(swept, confirmation, running, metric),
        facts=_facts(swept, metric),
        concurrency=concurrency,
        rows=trial_rows(swept, pictures),
        corner=isinstance(resolution, int) and 0 < resolution <= LARGEST,
        findings=findings(swept),
        importance=_importance(swept.importance),
        finalists=finalist_rows(swept, metric),
        confirmation=confirmation_of(confirmation, metric),
        drawn=plot_of(family, swept, metric),
        defaults={space.name: space.default for space in swept.hyperparameters},
    )


def verdict(swept: SweepResult, confirmation: Confirmation | None, running: bool, metric: Measure) -> str:
    """Return the numbers of trials by state, the winner, and its comparison with the default."""
    trials, winner = swept.trials, swept.winner
    if not trials:
        return "No trial has started yet." if running else "The sweep has no trials."
    sentences = [f"{_count(swept, running)}: {_states(trials)}."]
    if winner is not None:
        why = f": {winner.why.rstrip('.')}" if winner.why else ""
        name = f"Trial {winner.number}" if winner.number else "The config's own settings"
        sentences.append(f"{name} won{why}.")
    elif best := _best(trials):
        so_far = " so far" if running else ""
        sentences.append(f"Trial {best.number} is best{so_far}: {metric.label} {metric.show(best.value)}.")
    if running and swept.seconds_left is not None:
        sentences.append(f"About {formatting.duration(swept.seconds_left)} left.")
    if confirmation is not None and confirmation.says:
        sentences.append(f"Against the default: {confirmation.says.rstrip('.')}.")
    return " ".join(sentences)


def _count(swept: SweepResult, running: bool) -> str:
    number, planned = len(swept.trials), swept.settings.trials
    if running and planned is not None and planned > number:
        return f"{formatting.number(number)} of {formatting.number(planned)} trials so far"
    return "1 trial" if number == 1 else f"{formatting.number(number)} trials"


def _states(trials: Sequence[Trial]) -> str:
    counts = Counter(trial.state or "in an unknown state" for trial in trials)
    others = sorted(set(counts) - set(STATES))
    return formatting.listing(
        [f"{formatting.number(counts[s])} {STATES.get(s, s)}" for s in [*STATES, *others] if counts[s]]
    )


def _best(trials: Sequence[Trial]) -> Trial | None:
    scored = [(trial.value, i) for i, trial in enumerate(trials) if trial.value is not None]
    scored = [(value, i) for value, i in scored if not trials[i].cannot_win]
    return trials[min(scored)[1]] if scored else None


def _facts(swept: SweepResult, metric: Measure) -> list[tuple[str, str]]:
    target, settings = swept.metric, swept.settings
    images = f" of {formatting.number(target.n)} images" if target.n is not None else ""
    against = f" against the {target.split} split" if target.split else ""
    bound = (
        f"; {metric.bound} {metric.show_limit(target.real_baseline)}"
        if target.real_baseline is not None
        else ""
    )
    steps, evaluations = settings.steps, settings.evaluations
    trial, diversity = "", ""
    if steps is not None and evaluations is not None:
        trial = f"{formatting.number(steps)} steps, evaluated {formatting.number(evaluations)} times"
    if settings.min_diversity is not None:
        least = formatting.short(settings.min_diversity)
        diversity = f"at least {least} of that of real images, otherwise a trial counts as collapsed"
    facts = [
        ("Evaluated by", f"{metric.label}{images}{against}{bound}" if target.name else ""),
        ("Searched with", SEARCHERS.get(settings.searcher, settings.searcher)),
        ("Scheduler", _scheduler(settings)),
        ("Each trial", trial),
        ("Diversity", diversity),
        ("Seed", "" if swept.seed is None else formatting.number(swept.seed)),
    ]
    return [(name, value) for name, value in facts if value]


def _scheduler(settings: SweepSettings) -> str:
    name = SCHEDULERS.get(settings.scheduler, settings.scheduler)
    if settings.scheduler not in ("asha", "pbt") or not settings.rungs:
        return name
    rungs = f"{name}, after evaluation {formatting.listing([str(rung) for rung in settings.rungs])}"
    if settings.scheduler != "asha" or settings.reduction_factor is None:
        return rungs
    return f"{rungs}: the best 1 in {formatting.short(settings.reduction_factor)} continue"


def _concurrency(settings: SweepSettings) -> str:
    """Return how many trials run side by side, and why."""
    concurrent, why = settings.concurrent, settings.because.rstrip(".")
    if concurrent is None:
        return ""
    text = (
        "One trial at a time" if concurrent == 1 else f"{formatting.number(concurrent)} trials side by side"
    )
    return f"{text}{f': {why}' if why else ''}."


def _overhead(seconds: Overhead | None) -> str:
    if seconds is None:
        return ""
    worst = f", {formatting.duration(seconds.max)} at most" if seconds.max is not None else ""
    mean = formatting.duration(seconds.mean)
    sentence = f"In addition to training and evaluation, a trial took {mean} on average{worst}."
    return re.sub(r"(?<=\d) (?=s\b)", "\u00a0", sentence)


def _importance(importance: Importance | None) -> str:
    if importance is None or not importance.of:
        return ""
    trials = f" of {formatting.number(importance.n)} trials" if importance.n else ""
    at = f", at {importance.at}," if importance.at else ""
    return f"the share of the ranking{trials}{at} that it explains alone"
