"""What stands below the leaderboard: best and last checkpoints, and every class. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from components.evaluation.comparability import difference
from components.records.evaluation import Checkpoint, Evaluation, MetricResult
from components.records.names import VALIDATION_LOSS
from components.records.run import FamilyResult
from components.records.training import Averages, Point, Selection, TrainingResult
from components.report import formatting, leaderboard
from components.report.metric_labels import Measure, measure


def kept_step(result: Evaluation | TrainingResult) -> int | None:
    """The step of the snapshot that a result's metrics, samples and model are of.

    None where it is of none: an average of another length is made after training.
    """
    if result.averages and result.averages.won is not None:
        return None
    kept = result.checkpoints.get(result.kept) or result.checkpoints.get("last")
    return kept.step if kept else None


# Best and last


class Score(NamedTuple):
    """A checkpoint's step and its number with interval; or what is written instead."""

    step: str = ""
    text: str = ""
    interval: str = ""
    instead: str = ""


class Choice(NamedTuple):
    """Which checkpoint of a family was kept, why, and how the other one does."""

    family: str
    measure: str
    kept: str
    best: Score
    last: Score
    why_not: str | None
    selected_by: str
    averages: str | None


def checkpoints(results: Sequence[FamilyResult]) -> list[Choice]:
    """A row per family that has checkpoints."""
    rows = []
    for group in leaderboard.by_task(results).values():
        name = next(iter(leaderboard.metric_names([result.metrics for result in group])), "")
        rows += [_choice(result, name) for result in group if result.checkpoints]
    return rows


def _choice(result: FamilyResult, name: str) -> Choice:
    best, last = (result.checkpoints.get(which) for which in ("best", "last"))
    first, second = (checkpoint and checkpoint.metrics.get(name) for checkpoint in (best, last))
    return Choice(
        result.family,
        measure(name).label,
        result.kept,
        _score(best, name, "is the last" if result.selected_by else "none selected"),
        _score(last, name, formatting.NONE),
        difference(first, second) if first and second else None,
        selected_by(result.selected_by),
        averages(result.averages),
    )


def _score(checkpoint: Checkpoint | None, name: str, instead: str) -> Score:
    if checkpoint is None:
        return Score(instead=instead)
    step, metric = formatting.number(checkpoint.step), checkpoint.metrics.get(name)
    if metric is None:
        return Score(step, formatting.NONE)
    shown = measure(name, metric)
    return Score(step, shown.show(metric.value), shown.show_interval(metric.low, metric.high))


def selected_by(selection: Selection | None) -> str:
    """What chose the best checkpoint, in words."""
    if selection is None:
        return "nothing: the last is kept"
    if selection.metric == VALIDATION_LOSS:
        what = "lowest validation loss"
    else:
        shown = measure(selection.metric)
        what = f"{'lowest' if shown.better == 'lower' else 'highest'} {shown.label}"
    counted = f"{formatting.number(selection.n)} images" if selection.n is not None else ""
    split = f"the {selection.split} split" if selection.split else ""
    where = " of ".join(filter(None, (counted, split)))
    length = selection.ema_length
    return (f"{what} on {where}" if where else what) + (
        "" if length is None else f" (an average of length {length})"
    )


def averages(tried: Averages | None) -> str | None:
    """How averages of every length did that was tried after training, in words; None where none was."""
    if tried is None:
        return None
    name = tried.evaluated_by.metric if tried.evaluated_by else ""
    shown = measure(name)

    def one(point: Point) -> str:
        length = point.get("length")
        mark = " (kept)" if length == tried.won else ""
        return f"{'ordinary' if length is None else length} {shown.show(point.get(name))}{mark}"

    return f"{shown.label} by length of the average: {'; '.join(map(one, tried.curve))}"


# Every class


class ClassColumn(NamedTuple):
    """A metric of a family that tells the classes apart."""

    family: str
    metric: MetricResult
    shown: Measure


class ClassCell(NamedTuple):
    """A number of a class."""

    text: str
    worst: bool


class ClassRow(NamedTuple):
    """A class."""

    label: str
    cells: Sequence[ClassCell]


class ClassTable(NamedTuple):
    """The metrics of a task that tell the classes apart."""

    title: str
    families: list[tuple[str, int]]  # with the number of their columns
    measures: list[Measure]
    rows: list[ClassRow]
    whole: list[str]  # of all classes


def classes(results: Sequence[FamilyResult]) -> list[ClassTable]:
    """A table per task whose metrics tell the classes apart."""
    tables = []
    for task, group in leaderboard.by_task(results).items():
        if columns := [column for result in group for column in _class_columns(result)]:
            tables.append(_class_table(leaderboard.title(task), columns))
    return tables


def _class_columns(result: FamilyResult) -> list[ClassColumn]:
    """The class measures of a family in the order of a leaderboard."""
    metrics = [(name, result.metrics[name]) for name in leaderboard.metric_names([result.metrics])]
    return [ClassColumn(result.family, m, measure(name, m)) for name, m in metrics if m.classes]


def _class_table(title: str, columns: Sequence[ClassColumn]) -> ClassTable:
    labels = dict.fromkeys(label for column in columns for label in column.metric.classes)
    cells = zip(*(_class_cells(column, labels) for column in columns), strict=True)
    families = list(dict.fromkeys(column.family for column in columns))
    return ClassTable(
        title,
        [(f, sum(column.family == f for column in columns)) for f in families],
        [column.shown for column in columns],
        [ClassRow(label, row) for label, row in zip(labels, cells, strict=True)],
        [column.shown.show(column.metric.value) for column in columns],
    )


def _class_cells(column: ClassColumn, labels: Mapping[str, None]) -> list[ClassCell]:
    """The cells of a column; the worst class is marked where there is something to be worse than."""
    values, shown = column.metric.classes, column.shown
    known = [value for value in values.values() if value is not None]
    worst = (max if shown.better == "lower" else min)(known, default=None)
    marked = len(set(known)) > 1
    return [
        ClassCell(shown.show(value), marked and value is not None and value == worst)
        for value in (values.get(label) for label in labels)
    ]
