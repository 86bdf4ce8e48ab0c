"""Views of the latent space of a family for the page: tables, plots and pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.records import analysis
from components.records.analysis import LatentAnalysisResult, Line, Plot
from components.report import formatting
from components.report.reading import Picture, Pictures

NARROW = 4  # columns of a table that fits next to a plot
MAX_DOTS = 1000  # of a scatter plot: more would only cover each other
ARROWS = {"higher": "↑", "lower": "↓"}


@dataclass(frozen=True)
class Column:
    """The head of a column."""

    label: str
    better: str
    arrow: str


@dataclass(frozen=True)
class Cell:
    """A formatted cell."""

    text: str
    interval: str
    best: bool


@dataclass(frozen=True)
class Row:
    """A row of a table."""

    name: str
    cells: list[Cell]


@dataclass(frozen=True)
class Table:
    """A formatted table."""

    title: str
    note: str
    columns: list[Column]
    rows: list[Row]


@dataclass(frozen=True)
class TitledPicture(Picture):
    """A picture with a title and an explanation; an animation has a still."""

    title: str
    meaning: str
    still: str = ""


@dataclass(frozen=True)
class View:
    """A view on the page; `beside` puts plots next to tables."""

    title: str
    meaning: str
    tables: list[Table]
    plots: list[Plot]
    beside: bool
    pictures: list[TitledPicture]


@dataclass(frozen=True)
class LatentAnalysis:
    """The views of a family, and the number of images in words."""

    images: str
    views: list[View]


def of_family(result: Mapping[str, Any], pictures: Pictures) -> LatentAnalysis | None:
    """Return the latent analysis of a family from the stage's result; None if there is nothing to show."""
    record = LatentAnalysisResult.read(result)
    if record is None:
        return None
    views = [_view(view, pictures) for view in record.analysis.views]
    views = [view for view in views if view.tables or view.plots or view.pictures]
    counts = [f"{formatting.number(n)} {split}" for split, n in record.analysis.n.items()]
    return LatentAnalysis(formatting.listing(counts), views) if views else None


def _view(view: analysis.View, pictures: Pictures) -> View:
    tables = [drawn for drawn in map(table, view.tables) if drawn.columns and drawn.rows]
    plots = [_with_images(drawn, pictures) for drawn in map(plot, view.plots) if drawn]
    beside = bool(plots) and all(len(drawn.columns) <= NARROW for drawn in tables)
    of_points = {drawn.samples.path for drawn in view.plots if drawn.samples}
    sheets = [
        (sheet, pictures.take(sheet.path, sheet.rows, sheet.columns))
        for sheet in view.pictures
        if sheet.path not in of_points
    ]
    copied = [
        TitledPicture(copy.src, copy.width, copy.height, sheet.title, sheet.meaning, _still(sheet, pictures))
        for sheet, copy in sheets
        if copy
    ]
    return View(view.title, view.meaning, tables, plots, beside, copied)


def _still(sheet: analysis.Picture, pictures: Pictures) -> str:
    copy = pictures.take(sheet.still, sheet.rows, sheet.columns) if sheet.still else None
    return copy.src if copy else ""


# Tables


def table(record: analysis.Table) -> Table:
    """Return a table with formatted numbers; the best of each column is marked if rows are rivals."""
    rows = [row for row in record.rows if len(row.cells) == len(record.columns)]
    # Rows of settings or classes are not rivals: they differ in difficulty.
    ways = [column.better if record.rivals else None for column in record.columns]
    by_column = [_cells([row.cells[j] for row in rows], way) for j, way in enumerate(ways)]
    columns = [
        Column(column.label, column.better or "", ARROWS.get(column.better or "", ""))
        for column in record.columns
    ]
    texts = [Row(row.name, [cells[i] for cells in by_column]) for i, row in enumerate(rows)]
    return Table(record.title, record.note, columns, texts)


def _cells(column: Sequence[analysis.Cell], better: str | None) -> list[Cell]:
    """Return the cells of a column, all with the digits that its numbers need."""
    values = [cell.value for cell in column if cell.value is not None]
    digits = 4 if any(not value.is_integer() and abs(value) >= 100 for value in values) else 3
    best = None
    if better and len(set(values)) > 1:
        best = max(values) if better == "higher" else min(values)
    return [
        Cell(*_texts(cell, digits), best=cell.value is not None and cell.value == best) for cell in column
    ]


def _texts(cell: analysis.Cell, digits: int) -> tuple[str, str]:
    """Return the number or the text of a cell, and its interval."""
    if cell.value is None:
        return cell.text or formatting.NONE, ""
    text = formatting.number(cell.value, digits)
    if cell.low is None or cell.high is None:
        return text, ""
    return text, f"{formatting.number(cell.low, digits)} to {formatting.number(cell.high, digits)}"


# Plots


def plot(record: Plot) -> Plot | None:
    """Return a plot without empty lines and with at most MAX_DOTS dots; None if nothing remains."""
    lines, every = [line for line in record.lines if line.points], 1
    if not lines:
        return None
    if record.kind == "scatter":
        every = math.ceil(sum(len(line.points) for line in lines) / MAX_DOTS)
        lines = [Line(name=line.name, points=line.points[::every]) for line in lines]
    positive = all(x > 0 for line in lines for x, _ in line.points)
    samples = record.samples if every == 1 else None
    return record.model_copy(update={"log": record.log and positive, "lines": lines, "samples": samples})


def _with_images(drawn: Plot, pictures: Pictures) -> Plot:
    """Return a plot whose images of points, if there are any, are next to the page."""
    sheet = drawn.samples
    copy = pictures.take(sheet.path, sheet.rows, sheet.columns) if sheet else None
    images = sheet.model_copy(update={"path": copy.src}) if sheet and copy else None
    return drawn.model_copy(update={"samples": images})
