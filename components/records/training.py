"""What a training records: trained.json."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

from components.common.finite import finite
from components.records.base import Number, Record
from components.records.health import TrainingHealth
from components.records.names import KEPT

Value = Annotated[int | float | None, BeforeValidator(finite)]

Point = dict[str, Value]
"""Numbers by name, such as the step and the metrics of a snapshot."""


class Selection(Record):
    """What selects the best weights."""

    metric: str
    split: str | None = None
    n: int | None = None  # images
    ema_length: Number = None  # of the average that was selected, if it is not the ordinary one


class Averages(Record):
    """Averages of other lengths that were tried after training."""

    won: Number = None  # the length that was selected; None: the ordinary average
    curve: list[Point] = []  # of each length: its metrics, and how far its profile is from the exact one
    snapshots: int = 0  # that they were made from
    evaluated_by: Selection | None = None


class SavedWeights(Record):
    """Weights that were saved: those of the best step or those of the last."""

    step: int
    model: str  # folder in the attempt


class SampleTable(Record):
    """How to read the sample grids: tiles are side by side, row by row."""

    columns: int | None = None
    count: int | None = None
    resolution: int | None = None
    channels: int | None = None
    steps: list[int] = []
    source: str | None = None  # the grid of the images that the samples are made from
    kept: str = KEPT
    titles: list[str] = []


class TrainingResult(Record):
    """A finished training: trained.json, and `trained` in the result of its stage."""

    steps: int = 0
    images: int = 0
    seconds: Number = None
    work_seconds: Number = None
    stopped_early: bool = False
    kept: str = "last"
    checkpoints: dict[str, SavedWeights] = {}
    selected_by: Selection | None = None
    averages: Averages | None = None
    curve: list[Point] = []  # of every evaluated snapshot: its step and its metrics
    parameters: int | None = None  # of the generator
    parameters_trained: int | None = None
    terms: dict[str, Number] = {}  # the last row of metrics
    health: TrainingHealth | None = None
    samples: SampleTable = SampleTable()
