"""Tables below the leaderboard: best and last checkpoints, and metrics per class. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from components.evaluation.comparability import difference
from components.records.evaluation import Checkpoint, Evaluation, MetricResult
from components.records.names import VALIDATION_LOSS
from components.records.run import FamilyResult
from components.records.training import Averages, Point, Selection, TrainingResult
from components.report import formatting, leaderboard
from components.report.metric_labels import Measure, mark, measure


def kept_step(result: Evaluation | TrainingResult) -> int | None:
    """Return the step of the snapshot that a result's metrics, samples and model belong to.

    None for an average of another length, which is computed after training.
    """
    if result.averages and result.averages.won is not None:
        return None
    checkpoint = result.checkpoints.get(result.kept) or result.checkpoints.get("last")
    return checkpoint.step if checkpoint else None


# Best and last


class Score(NamedTuple):
    """A checkpoint's step and its value with interval, or the text to show instead."""

    step: str = ""
    text: str = ""
    interval: str = ""
    instead: str = ""


class Choice(NamedTuple):
    """The values of a family's best and last checkpoint, which one was kept, and why."""

    family: str
    measure: str
    kept: str
    best: Score
    last: Score
    why_not: str | None
    selected_by: str
    averages: str | None


def checkpoints(results: Sequence[FamilyResult], families: Mapping[str, Any] | None = None) -> list[Choice]:
    """Return a row per family that has checkpoints; `families` has the settings of each."""
    rows = []
    for group in leaderboard.by_task(results).values():
        name = next(iter(leaderboard.metric_names([result.metrics for result in group])), "")
        rows += [
            _choice(result, name, keeps_last(result, (families or {}).get(result.family)))
            for result in group
            if result.checkpoints
        ]
    return rows


def keeps_last(result: Evaluation, settings: object) -> bool:
    """Return whether the last weights are kept since the config says so, whichever are the best."""
    train = settings.get("train") if isinstance(settings, Mapping) else None
    asked = isinstance(train, Mapping) and train.get("select") == "last"
    return result.kept == "last" and (asked or "best" in result.checkpoints)


def _choice(result: FamilyResult, name: str, last_asked: bool) -> Choice:
    best, last = (result.checkpoints.get(which) for which in ("best", "last"))
    by = selected_by(result.selected_by)
    first, second = (checkpoint and checkpoint.metrics.get(name) for checkpoint in (best, last))
    return Choice(
        result.family,
        measure(name).label,
        result.kept,
        _score(best, name, "is the last" if result.selected_by else "none selected"),
        _score(last, name, formatting.NONE),
        difference(first, second) if first and second else None,
        f"the config (train.select: last); best: {by}" if last_asked and result.selected_by else by,
        averages(result.averages),
    )


def _score(checkpoint: Checkpoint | None, name: str, instead: str) -> Score:
    if checkpoint is None:
        return Score(instead=instead)
    step, metric = formatting.number(checkpoint.step), checkpoint.metrics.get(name)
    if metric is None:
        return Score(step, formatting.NONE if checkpoint.metrics else "not evaluated")
    definition = measure(name, metric)
    return Score(
        step,
        f"{definition.show(metric.value)}{mark(metric)}",
        definition.show_interval(metric.low, metric.high),
    )


def selected_by(selection: Selection | None) -> str:
    """Return the rule that selected the best checkpoint, in words."""
    if selection is None:
        return "none: the last is kept"
    if selection.metric == VALIDATION_LOSS:
        rule = "lowest validation loss"
    else:
        definition = measure(selection.metric)
        rule = f"{'lowest' if definition.better == 'lower' else 'highest'} {definition.label}"
    counted = f"{formatting.number(selection.n)} images" if selection.n is not None else ""
    split = f"the {selection.split} split" if selection.split else ""
    images = " of ".join(filter(None, (counted, split)))
    length = selection.ema_length
    return (f"{rule} on {images}" if images else rule) + (
        "" if length is None else f" (an average of length {length})"
    )


def averages(tried: Averages | None) -> str | None:
    """Return the results of averages of several lengths, in words; None if none were tried."""
    if tried is None:
        return None
    name = tried.evaluated_by.metric if tried.evaluated_by else ""
    definition = measure(name)

    def result_of(point: Point) -> str:
        length = point.get("length")
        mark = " (kept)" if length == tried.won else ""
        return f"{'ordinary' if length is None else length} {definition.show(point.get(name))}{mark}"

    return f"{definition.label} by length of the average: {'; '.join(map(result_of, tried.curve))}"


# Every class


class ClassColumn(NamedTuple):
    """A metric of a family with values per class."""

    family: str
    metric: MetricResult
    definition: Measure


class ClassCell(NamedTuple):
    """The value of a class."""

    text: str
    worst: bool


class ClassRow(NamedTuple):
    """The values of a class."""

    label: str
    cells: Sequence[ClassCell]


class ClassTable(NamedTuple):
    """The metrics of a task with values per class."""

    title: str
    families: list[tuple[str, int]]  # with the number of their columns
    measures: list[Measure]
    rows: list[ClassRow]
    whole: list[str]  # of all classes


def classes(results: Sequence[FamilyResult]) -> list[ClassTable]:
    """Return a table per task that has metrics per class."""
    tables = []
    for task, group in leaderboard.by_task(results).items():
        if columns := [column for result in group for column in _class_columns(result)]:
            tables.append(_class_table(leaderboard.title(task), columns))
    return tables


def _class_columns(result: FamilyResult) -> list[ClassColumn]:
    """Return the metrics of a family with values per class, in the order of a leaderboard."""
    metrics = [(name, result.metrics[name]) for name in leaderboard.metric_names([result.metrics])]
    return [ClassColumn(result.family, m, measure(name, m)) for name, m in metrics if m.classes]


def _class_table(title: str, columns: Sequence[ClassColumn]) -> ClassTable:
    labels = dict.fromkeys(label for column in columns for label in column.metric.classes)
    cells = zip(*(_class_cells(column, labels) for column in columns), strict=True)
    families = list(dict.fromkeys(column.family for column in columns))
    return ClassTable(
        title,
        [(f, sum(column.family == f for column in columns)) for f in families],
        [column.definition for column in columns],
        [ClassRow(label, row) for label, row in zip(labels, cells, strict=True)],
        [f"{c.definition.show(c.metric.value)}{mark(c.metric)}" for c in columns],
    )


def _class_cells(column: ClassColumn, labels: Mapping[str, None]) -> list[ClassCell]:
    """Return the cells of a column; the worst class is marked if values differ."""
    values, definition = column.metric.classes, column.definition
    numbers = [value for value in values.values() if value is not None]
    worst = (max if definition.better == "lower" else min)(numbers, default=None)
    marked = len(set(numbers)) > 1
    return [
        ClassCell(definition.show(value), marked and value is not None and value == worst)
        for value in (values.get(label) for label in labels)
    ]
