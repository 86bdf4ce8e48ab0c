"""Results of `latent_analysis`, `style_analysis` and `anomaly_models`: views of a family's latent space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, PositiveInt

from components.records.base import Number, Record, StageResult

PictureFile = Annotated[str, Field(pattern=r"^[\w-]+\.webp$")]  # in the stage's folder

Point = Annotated[list[FiniteFloat], Field(min_length=2, max_length=2)]
"""x and y."""


class Sheet(Record):
    """A picture of images in rows and columns."""

    path: PictureFile
    rows: PositiveInt
    columns: PositiveInt


class Picture(Sheet):
    """A sheet of a view, and what it shows."""

    title: str = ""
    meaning: str = ""
    still: PictureFile | None = None  # shown instead of an animation where nothing may move


class Column(Record):
    """A column of a table, and whether higher or lower numbers are better."""

    label: str
    better: Literal["higher", "lower"] | None = None


class Cell(Record):
    """A number with its 95 % interval, if it has one, or else a text; neither if the cell is empty."""

    value: Number = None
    low: Number = None
    high: Number = None
    text: str = ""


class Row(Record):
    """A row of a table, with a cell for each column."""

    name: str
    cells: list[Cell]


class Table(Record):
    """Numbers by row and column; the best of a column can be marked if the rows are rivals."""

    title: str = ""
    rivals: bool = True
    columns: list[Column]
    rows: list[Row]
    note: str = ""


class Line(Record):
    """Points of a plot that belong together."""

    name: str = ""
    points: list[Point]


class Plot(Record):
    """A plot of lines; `log` is its x axis, `samples` a picture of its view with an image of each point."""

    kind: Literal["lines", "scatter", "bars"]
    title: str = ""
    x: str = ""
    y: str = ""
    log: bool = False
    lines: list[Line]
    samples: Sheet | None = None


class View(Record):
    """One use of the latent codes, measured and shown."""

    name: str
    title: str
    meaning: str = ""
    tables: list[Table] = []
    plots: list[Plot] = []
    pictures: list[Picture] = []


class ViewResult(Record):
    """The result of the job that makes a view; None where it does not apply."""

    view: View | None


class LatentAnalysis(Record):
    """The views of a family, and how many images of each split they use."""

    views: list[View] = []
    n: dict[str, int] = {}


class LatentAnalysisResult(StageResult):
    """The result of the stages `latent_analysis` and `style_analysis`."""

    analysis: LatentAnalysis


class AnomalyModelsResult(StageResult):
    """The result of the stage `anomaly_models`: the model's folder by the class that it has not seen."""

    anomaly_models: dict[str, str]


class PathLength(Record):
    """A perceptual path length with its 95 % interval, and how it was measured."""

    value: float
    low: Number = None
    high: Number = None
    recipe: Mapping[str, Any]
    comparability: str  # equal for two values exactly if they may be compared
