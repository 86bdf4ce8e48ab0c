"""What stands below the leaderboard: best and last checkpoints, and every class. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.evaluation.comparability import difference
from components.records.names import VALIDATION_LOSS
from components.report import formatting, leaderboard
from components.report.metric_labels import measure

Result = Mapping[str, Any]


def kept_step(result: Result) -> int | None:
    """The step of the snapshot that a result's metrics, samples and model are of.

    None where it is of none: an average of another length is made after training.
    """
    if (result.get("averages") or {}).get("won") is not None:
        return None
    entries = result.get("checkpoints") or {}
    return (entries.get(result.get("kept")) or entries.get("last") or {}).get("step")


# Best and last


def checkpoints(results: Sequence[Result]) -> list[dict[str, Any]]:
    """A row per family that says which checkpoint was kept, why, and how the other one does."""
    rows = []
    for group in leaderboard.by_task(results).values():
        name = next(iter(leaderboard.metric_names(group)), "")
        rows += [_checkpoints(result, name) for result in group if result.get("checkpoints")]
    return rows


def _checkpoints(result: Result, name: str) -> dict[str, Any]:
    entries, how = result["checkpoints"], result.get("selected_by")
    best, last = entries.get("best"), entries.get("last")
    instead = "is the last" if how else "none selected"
    return {
        "family": result.get("family"),
        "measure": measure(name).label,
        "kept": result.get("kept") or "last",
        "best": _checkpoint(best, name) or {"instead": instead},
        "last": _checkpoint(last, name) or {"instead": formatting.NONE},
        "why_not": difference(_metric(best, name), _metric(last, name)) if best and last else None,
        "selected_by": selected_by(how),
        "averages": averages(result.get("averages")),
    }


def _metric(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return (entry.get("metrics") or {}).get(name) or {}


def _checkpoint(entry: Mapping[str, Any] | None, name: str) -> dict[str, Any] | None:
    """A checkpoint's step and its number with interval."""
    if not entry:
        return None
    metric = _metric(entry, name)
    shown = measure(name, metric)
    return {
        "step": formatting.number(entry.get("step")),
        "text": shown.show(metric.get("value")),
        "interval": shown.show_interval(metric),
    }


def selected_by(how: Mapping[str, Any] | None) -> str:
    """What chose the best checkpoint, in words."""
    if not how:
        return "nothing: the last is kept"
    if how.get("metric") == VALIDATION_LOSS:
        what = "lowest validation loss"
    else:
        shown = measure(str(how.get("metric")))
        what = f"{'lowest' if shown.better == 'lower' else 'highest'} {shown.label}"
    counted = f"{formatting.number(how['n'])} images" if how.get("n") is not None else ""
    split = f"the {how['split']} split" if how.get("split") else ""
    where = " of ".join(filter(None, (counted, split)))
    made = f" (an average of length {how['ema_length']})" if how.get("ema_length") is not None else ""
    return (f"{what} on {where}" if where else what) + made


def averages(tried: Mapping[str, Any] | None) -> str | None:
    """How averages of every length did that was tried after training, in words; None where none was."""
    if not tried:
        return None
    name = str((tried.get("judged_by") or {}).get("metric"))
    shown = measure(name)

    def one(point: Mapping[str, Any]) -> str:
        length = point.get("length")
        mark = " (kept)" if length == tried.get("won") else ""
        return f"{'ordinary' if length is None else length} {shown.show(point.get(name))}{mark}"

    return f"{shown.label} by length of the average: {'; '.join(map(one, tried.get('curve') or []))}"


# Every class


def classes(results: Sequence[Result]) -> list[dict[str, Any]]:
    """A table per task whose metrics tell the classes apart."""
    tables = []
    for task, group in leaderboard.by_task(results).items():
        if columns := [column for result in group for column in _class_columns(result)]:
            tables.append({"title": leaderboard.title(task), **_class_table(columns)})
    return tables


def _class_columns(result: Result) -> list[dict[str, Any]]:
    """The class measures of a family in the order of a leaderboard."""
    metrics = result.get("metrics") or {}
    found = [name for name in leaderboard.metric_names([result]) if metrics[name].get("classes")]
    return [{"family": result.get("family"), "name": name, "metric": metrics[name]} for name in found]


def _class_table(columns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    labels = dict.fromkeys(str(label) for column in columns for label in column["metric"]["classes"])
    cells = [_class_cells(column, labels) for column in columns]
    families = list(dict.fromkeys(column["family"] for column in columns))
    return {
        "families": [(f, sum(column["family"] == f for column in columns)) for f in families],
        "measures": [
            {"label": shown.label, "better": shown.better, "meaning": shown.meaning}
            for shown in (measure(column["name"], column["metric"]) for column in columns)
        ],
        "rows": [
            {"label": label, "cells": row}
            for label, row in zip(labels, zip(*cells, strict=True), strict=True)
        ],
        "whole": [
            measure(column["name"], column["metric"]).show(column["metric"].get("value"))
            for column in columns
        ],
    }


def _class_cells(column: Mapping[str, Any], labels: Mapping[str, None]) -> list[dict[str, Any]]:
    """The cells of a column; the worst class is marked where there is something to be worse than."""
    values = {str(label): value for label, value in column["metric"]["classes"].items()}
    shown = measure(column["name"], column["metric"])
    known = [value for value in values.values() if value is not None]
    worst = (max if shown.better == "lower" else min)(known, default=None)
    marked = len(set(known)) > 1
    return [
        {
            "text": shown.show(values.get(label)),
            "sort": values.get(label),
            "worst": marked and values.get(label) is not None and values[label] == worst,
        }
        for label in labels
    ]
