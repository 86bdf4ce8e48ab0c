"""What a family's codes are good for, for the page: tables, plots and pictures of each view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from components.report import formatting
from components.report.reading import Object, Pictures, as_list, as_object, is_number, rounded

KINDS = ("lines", "scatter", "bars")
NARROW = 4  # columns of a table that has room beside a plot
MAX_DOTS = 1000  # of a scatter plot: more would only cover each other
ARROWS = {"higher": "↑", "lower": "↓"}


def of_family(result: Object, pictures: Pictures) -> dict[str, Any] | None:
    """What the page shows of the uses of a family's codes, from the stage's result; None without any."""
    told = as_object(result.get("used"))
    views = [_view(as_object(view), pictures) for view in as_list(told.get("views"))]
    shown = [view for view in views if view["tables"] or view["plots"] or view["pictures"]]
    counts = [
        f"{formatting.number(n)} {name}" for name, n in as_object(told.get("n")).items() if is_number(n)
    ]
    return {"images": formatting.listing(counts), "views": shown} if shown else None


def _view(view: Object, pictures: Pictures) -> dict[str, Any]:
    found = [table(as_object(told)) for told in as_list(view.get("tables"))]
    tables = [told for told in found if told["columns"] and told["rows"]]
    plots = [plot(as_object(told)) for told in as_list(view.get("plots"))]
    shown = [_picture(as_object(told), pictures) for told in as_list(view.get("pictures"))]
    return {
        "title": _words(view, "title") or _words(view, "name"),
        "meaning": _words(view, "meaning"),
        "tables": tables,
        "plots": [told for told in plots if told],
        "beside": any(plots) and all(len(told["columns"]) <= NARROW for told in tables),
        "pictures": [told for told in shown if told],
    }


def _picture(told: Object, pictures: Pictures) -> dict[str, Any] | None:
    copied = pictures.take(told.get("path"), told.get("rows"), told.get("columns"))
    return copied and {"title": _words(told, "title"), "meaning": _words(told, "meaning"), **copied}


def _words(told: Object, name: str) -> str:
    value = told.get(name)
    return value if isinstance(value, str) else ""


# Tables


def table(told: Object) -> dict[str, Any]:
    """A table with its numbers written out, and the best of each column whose rows are rivals."""
    rows = [as_object(row) for row in as_list(told.get("rows"))]
    columns = [as_object(column) for column in as_list(told.get("columns"))]
    cells = [[as_object(_at(row.get("cells"), j)) for row in rows] for j in range(len(columns))]
    rivals = told.get("rivals") is not False  # settings and classes are harder or easier, not better
    ways = [str(column.get("better")) for column in columns]
    written = [_column(own, way if rivals else "") for way, own in zip(ways, cells, strict=True)]
    return {
        "title": _words(told, "title"),
        "note": _words(told, "note"),
        "columns": [
            {"label": _words(column, "label"), "better": way, "arrow": ARROWS.get(way, "")}
            for way, column in zip(ways, columns, strict=True)
        ],
        "rows": [
            {"name": _words(row, "name"), "cells": [own[i] for own in written]} for i, row in enumerate(rows)
        ],
    }


def _at(cells: Any, j: int) -> Any:
    listed = as_list(cells)
    return listed[j] if j < len(listed) else None


def _column(cells: Sequence[Object], better: str) -> list[dict[str, Any]]:
    """The cells of a column, all to as many digits as its numbers need."""
    values = [cell["value"] for cell in cells if is_number(cell.get("value"))]
    digits = 4 if any(not float(value).is_integer() and abs(value) >= 100 for value in values) else 3
    best = (
        {"higher": max, "lower": min}[better](values) if better in ARROWS and len(set(values)) > 1 else None
    )
    return [
        {
            **_written(cell, digits),
            "best": best is not None and is_number(cell.get("value")) and cell["value"] == best,
        }
        for cell in cells
    ]


def _written(cell: Object, digits: int) -> dict[str, str]:
    value, low, high = (cell.get(name) for name in ("value", "low", "high"))
    between = is_number(low) and is_number(high)
    shown = formatting.number(value, digits) if is_number(value) else _words(cell, "text") or formatting.NONE
    ends = f"{formatting.number(low, digits)} to {formatting.number(high, digits)}" if between else ""
    return {"text": shown, "interval": ends}


# Plots


def plot(told: Object) -> dict[str, Any] | None:
    """A plot of the finite among its points; None where its kind is unknown or nothing is left to draw."""
    named = [(_words(line, "name"), _points(line)) for line in map(as_object, as_list(told.get("lines")))]
    lines = [{"name": name, "points": points} for name, points in named if points]
    if told.get("kind") not in KINDS or not lines:
        return None
    if told["kind"] == "scatter":
        every = math.ceil(sum(len(line["points"]) for line in lines) / MAX_DOTS)
        lines = [line | {"points": line["points"][::every]} for line in lines]
    positive = all(x > 0 for line in lines for x, _ in line["points"])
    return {
        "kind": told["kind"],
        **{name: _words(told, name) for name in ("title", "x", "y")},
        "log": told.get("log") is True and positive,
        "lines": lines,
    }


def _points(line: Object) -> list[list[Any]]:
    pairs = [point for point in as_list(line.get("points")) if isinstance(point, list) and len(point) == 2]
    return [[rounded(x), rounded(y)] for x, y in pairs if is_number(x) and is_number(y)]
