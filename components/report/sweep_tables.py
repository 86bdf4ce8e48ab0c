"""The tables of a sweep."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from components.common.finite import as_number, is_number
from components.records.sweep import (
    Confirmation,
    Finalist,
    Recommendation,
    SearchedHyperparameter,
    Share,
    SweepResult,
)
from components.records.trial import Trial
from components.report import formatting
from components.report.metric_labels import Measure, measure
from components.report.reading import rounded
from components.tuning.recommendations import written

PICTURE = re.compile(r"store/[\w-]+/(?P<key>[\w-]+)/attempts/(?P<attempt>\d+)/samples/(?P<name>[\w-]+)\.webp")

STATES = {
    "done": "evaluated to the end",
    "stopped": "stopped early",
    "collapsed": "collapsed",
    "failed": "failed",
    "running": "running",
    "waiting": "waiting",
}


def picture_copy(path: str | None) -> str | None:
    """Return the name of a trial's picture next to the page; None if the path is no such picture."""
    match = PICTURE.fullmatch(path or "")
    return f"samples/trial-{match['key'][:24]}-{match['attempt']}-{match['name']}.webp" if match else None


class Cell(NamedTuple):
    """A trial's value of a hyperparameter."""

    text: str
    sort: float | str
    number: bool


class Row(NamedTuple):
    """The row of a trial."""

    trial: Trial
    cells: list[Cell]
    diversity: float | None  # the last measured one
    cost: str
    picture: str | None


def trial_rows(swept: SweepResult, pictures: Collection[str]) -> list[Row]:
    """Return the trials, the best first; those that cannot win last."""
    ordered = sorted(swept.trials, key=lambda t: (t.cannot_win, t.value is None, t.value or 0.0))
    return [
        Row(
            trial,
            [_cell(trial, space.name) for space in swept.hyperparameters],
            next((p.diversity for p in reversed(trial.curve) if p.diversity is not None), None),
            _cost(trial.cost, swept.cost.unit),
            name if (name := picture_copy(trial.picture)) in pictures else None,
        )
        for trial in ordered
    ]


def _cell(trial: Trial, name: str) -> Cell:
    """Return a trial's value; the first and the last one if the trial continued from another."""
    last = trial.values.get(name)
    first = trial.original.values.get(name, last)
    text = written(first) if first is not None else formatting.NONE
    return Cell(
        text=text if last == first else f"{text} → {written(last)}",
        sort=rounded(last) if is_number(last) else str(last),
        number=is_number(first),
    )


def _cost(value: float | None, unit: str) -> str:
    if value is None:
        return formatting.NONE
    return formatting.duration(value) if unit == "s" else f"{formatting.short(value)} {unit}".strip()


class Bar(NamedTuple):
    """An importance as a bar from 0 to 100."""

    value: float
    low: float | None
    high: float | None
    chance: float | None
    text: str
    interval: str


class Strip(NamedTuple):
    """Positions from 0 to 100 along the searched range: of the best trials, and of the recommended value."""

    low: float
    width: float
    recommended: float | None


class Finding(NamedTuple):
    """The result of a sweep for a hyperparameter."""

    space: SearchedHyperparameter
    advice: Recommendation
    searched: str
    importance: Bar | None
    strip: Strip | None


def findings(swept: SweepResult) -> list[Finding]:
    """Return the results by hyperparameter, the most important first; empty if there are none yet."""
    shares = swept.importance.of if swept.importance else {}
    advice = {recommendation.name: recommendation for recommendation in swept.recommendations}
    if not shares and not advice:
        return []
    rows = []
    for space in swept.hyperparameters:
        row = advice.get(space.name) or Recommendation(name=space.name)
        share = shares.get(space.name)
        rows.append(Finding(space, row, _searched(space), _bar(share), strip_of(space, row)))
    return sorted(rows, key=lambda row: -row.importance.value if row.importance else 0.0)


def _searched(space: SearchedHyperparameter) -> str:
    if space.low is None or space.high is None:
        return ", ".join(map(written, space.values or []))
    return f"{written(space.low)} to {written(space.high)}{', logarithmic' if space.scale == 'log' else ''}"


def _bar(share: Share | None) -> Bar | None:
    if share is None:
        return None
    value, low, high, chance = (
        None if part is None else round(100 * min(max(part, 0.0), 1.0), 1)
        for part in (share.value, share.low, share.high, share.chance)
    )
    interval = f"{low:.0f} to {high:.0f}" if low is not None and high is not None else ""
    return Bar(value or 0.0, low, high, chance, f"{value:.0f}\u00a0%", interval)


def strip_of(space: SearchedHyperparameter, row: Recommendation) -> Strip | None:
    """Return the strip of a range; None for a choice or without trials."""
    low, high = space.low, space.high
    if low is None or high is None or low >= high:
        return None
    log = space.scale == "log" and low > 0

    def place(value: float | None) -> float | None:
        if value is None or (log and value <= 0):
            return None
        f = math.log if log else float
        share = (f(value) - f(low)) / (f(high) - f(low))
        return round(100 * min(max(share, 0.0), 1.0), 1)

    first, last = place(row.best_low), place(row.best_high)
    if first is None or last is None:
        return None
    return Strip(first, round(last - first, 1), place(as_number(row.recommended)))


class FinalistRow(NamedTuple):
    """A finalist: its numbers, and their positions from 0 to 100."""

    finalist: Finalist
    interval: str
    repeats: list[str]
    at: float
    ends: list[float]
    dots: list[float]


def finalist_rows(swept: SweepResult, metric: Measure) -> list[FinalistRow]:
    """Return the finalists with a mean, the lowest first."""
    finalists = sorted((f for f in swept.finalists if f.mean is not None), key=lambda f: f.mean or 0.0)
    numbers = [n for f in finalists for n in (f.mean, f.low, f.high, *_repeats(f)) if n is not None]
    low, high = min(numbers, default=0.0), max(numbers, default=0.0)

    def place(value: float) -> float:
        return round(4 + 92 * ((value - low) / (high - low) if high > low else 0.5), 1)

    return [
        FinalistRow(
            finalist,
            metric.show_interval(finalist.low, finalist.high),
            [metric.show(value) for value in _repeats(finalist)],
            place(finalist.mean or 0.0),
            [place(end) for end in _ends(finalist)],
            [place(value) for value in _repeats(finalist)],
        )
        for finalist in finalists
    ]


def _repeats(finalist: Finalist) -> list[float]:
    return [repeat.value for repeat in finalist.repeats if repeat.value is not None]


def _ends(finalist: Finalist) -> Sequence[float]:
    """Return both ends of a finalist's interval, or none."""
    return () if finalist.low is None or finalist.high is None else (finalist.low, finalist.high)


class ConfirmationTable(NamedTuple):
    """The winner and the default on the same fresh seeds, and the interval of their difference."""

    says: str
    taking: str  # share of the default's time per image
    metric: str
    recipe: str
    rows: list[tuple[int, str, str]]  # seed, winner, default
    means: tuple[str, str]
    difference: str
    interval: str
    places: list[float]  # from 0 to 100, no difference in the middle


def confirmation_of(confirmation: Confirmation | None, metric: Measure) -> ConfirmationTable | None:
    """Return the comparison of the winner with the default; None if there are no values yet."""
    if confirmation is None:
        return None
    difference, seconds = confirmation.difference, confirmation.seconds_per_image
    winner, default = (
        [value for value in side if value is not None] for side in (confirmation.winner, confirmation.default)
    )
    if not winner and difference.value is None:
        return None
    if confirmation.metric:
        metric = measure(confirmation.metric)
    ends = [end for end in (difference.low, difference.value, difference.high) if end is not None]
    reach = max(map(abs, ends), default=0.0) or 1.0
    timed = seconds is not None and seconds.winner > 0 and seconds.default > 0
    return ConfirmationTable(
        says=confirmation.says,
        taking=formatting.short(round(seconds.winner / seconds.default, 2)) if seconds and timed else "",
        metric=metric.label,
        recipe=_recipe(confirmation, metric),
        rows=[
            (seed, metric.show(_at(winner, i)), metric.show(_at(default, i)))
            for i, seed in enumerate(confirmation.seeds[: max(len(winner), len(default))])
        ],
        means=(metric.show(_mean(winner)), metric.show(_mean(default))),
        difference="" if difference.value is None else _signed(difference.value, metric),
        interval=""
        if difference.low is None or difference.high is None
        else f"{_signed(difference.low, metric)} to {_signed(difference.high, metric)}",
        places=[round(50 + 46 * end / reach, 1) for end in ends] if len(ends) == 3 else [],
    )


def _recipe(confirmation: Confirmation, metric: Measure) -> str:
    parts = [f"{formatting.number(confirmation.n)} images"] if confirmation.n is not None else []
    parts += [f"{confirmation.split} split"] if confirmation.split else []
    if confirmation.real_baseline is not None:
        parts.append(f"{metric.bound} {metric.show_limit(confirmation.real_baseline)}")
    return ", ".join(parts)


def _at(values: Sequence[float], i: int) -> float | None:
    return values[i] if i < len(values) else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _signed(value: float, metric: Measure) -> str:
    return f"{'+' if value > 0 else '−' if value < 0 else ''}{metric.show(abs(value))}"
