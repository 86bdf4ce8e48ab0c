"""Record of a training: trained.json."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from components.common.finite import finite
from components.records.base import Number, Record
from components.records.health import TrainingHealth
from components.records.names import KEPT

LISTED = 4  # layers that a sentence names

Value = Annotated[int | float | None, BeforeValidator(finite)]

Point = dict[str, Value]
"""Numbers by name, such as the step and the metrics of a snapshot."""


class Selection(Record):
    """The measure that selects the best weights."""

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
    """The layout of the sample grids: tiles are side by side, row by row."""

    columns: int | None = None
    count: int | None = None
    resolution: int | None = None
    channels: int | None = None
    steps: list[int] = []
    source: str | None = None  # the grid of the images that the samples are made from
    kept: str = KEPT
    titles: list[str] = []


Fate = Literal["taken", "new", "missing here", "other shape"]
"""What became of a layer of the model that a training began with, or of its own layer: `new` has no source,
`missing here` no place."""


class WarmStart(Record):
    """The layers that a training took of the model that it began with: initial.json."""

    model: str  # RUN/FAMILY or URL
    sha256: str  # of its weights
    layers: dict[str, Fate] = {}

    @property
    def sentence(self) -> str:
        """In one line: how many layers were taken, and the first of the others."""
        taken = sum(fate == "taken" for fate in self.layers.values())
        parts = [f"{taken} of {len(self.layers)} layers taken from {self.model}"]
        for fate in ("other shape", "missing here", "new"):
            names = [name for name, own in self.layers.items() if own == fate]
            more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
            parts += [f"{fate}: {', '.join(names[:LISTED])}{more}"] if names else []
        return "; ".join(parts)


class TrainingResult(Record):
    """A finished training: trained.json, and `trained` in the result of its stage."""

    steps: int = 0
    images: int = 0
    seconds: Number = None
    work_seconds: Number = None
    initial: WarmStart | None = None
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
