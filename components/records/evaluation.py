"""Records of evaluations: numbers that say how they were measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from components.common.ranking import first_to_last
from components.records.base import Number, Record
from components.records.extractor import ExtractorIdentity
from components.records.training import Averages, Point, Selection

BACKWARD = "backward_"  # prefix of the metrics of the other direction of a family that translates both ways

Recipe = dict[str, str | int | float | bool | None]
"""How a number was measured, down to rounding and seeds; the hash of it is its comparability key."""


class MetricResult(Record):
    """A metric's value with its interval, its baseline and its recipe.

    In Python, it is shown without how it was measured.
    """

    value: Annotated[float, Field(allow_inf_nan=False)]
    low: Number = None  # of the 95 % interval
    high: Number = None
    interval: str | None = None  # how the interval was estimated
    real_baseline: Number = None  # the best that can be expected, mostly what real images score
    n: int | None = None  # images on each side
    extractor: str | None = None
    extractor_hash: str | None = None
    split: str | None = None
    better: Literal["lower", "higher"] = "lower"
    recipe: Recipe = {}
    comparability: str | None = None
    note: str | None = None  # why the number is doubtful
    classes: dict[str, Number] = {}  # by class, where the value is the mean over classes

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """Yield what notebooks show."""
        for name in ("value", "low", "high", "real_baseline", "note"):
            if (value := getattr(self, name)) is not None:
                yield name, value


Metrics = dict[str, MetricResult]


def measures(metrics: Metrics) -> list[str]:
    """Return the name and value of each metric, with its note; the one that ranks first."""
    results = ((name, metrics[name]) for name in first_to_last(metrics))
    return [f"{name} {one.value:.4g}" + (f" ({one.note})" if one.note else "") for name, one in results]


def metrics_of(values: Mapping[str, object]) -> Metrics:
    """The metrics among JSON values; those that cannot be read are left out."""
    return {name: metric for name, value in values.items() if (metric := MetricResult.read(value))}


class Checkpoint(Record):
    """The step and the metrics of weights that were evaluated."""

    step: int
    metrics: Metrics = {}


class Neighbours(Record):
    """The distance of each published sample to its nearest training image, and a sheet of these images."""

    distances: list[Number] = []
    closest: Number = None  # the distance up to which a sample counts as memorised
    memorised: list[int] = []  # positions of samples
    path: str | None = None  # of the sheet, in the store
    columns: int | None = None
    count: int | None = None
    resolution: int | None = None


class ReferenceData(Record):
    """The data set of a reference."""

    name: str
    title: str
    resolution: int
    channels: int
    labels: list[str] | None = None
    hash: str  # of its version


class ReferenceInfo(Record):
    """reference.json: what images are compared with."""

    data: ReferenceData
    images: Mapping[str, int]  # by split
    most: int | None = None  # images of a split, its first ones; None: all
    closest: float  # the distance to a training image up to which a sample counts as memorised
    extractor: ExtractorIdentity
    n: int  # images of the real baselines below
    real_baselines: Mapping[str, Mapping[str, Mapping[str, float]]] = {}  # by split, images and metric
    classifier_steps: int = 400  # of the classification accuracy score


class RealBaselines(Record):
    """Real baselines of another number of images, or of another split, that an evaluation needed."""

    values: Mapping[str, float]  # by metric


class RealImages(Record):
    """A sheet of real images: `real` in the result of the stage `reference`."""

    path: str  # in the attempt
    columns: int | None = None
    count: int | None = None
    resolution: int | None = None
    split: str = "test"


class Stability(Record):
    """Measures of how steadily a training improved.

    Attributes:
        regression_ratio: sum of the rises / sum of the falls of the curve, in [0, 1]. 0: no snapshot was
            worse than the one before; near 1: what was gained was lost again (oscillation). Snapshots of few
            images are noisy, which adds small rises and falls to every family alike.
        kept: (first - last) / (first - best), in [0, 1]: the share of the best improvement that was still
            there at the end. 1: the last snapshot is the best; 0: it is no better than the first.
        best_step: where the curve is lowest.
        snapshots: how many there were; with fewer than three, regression_ratio and kept are None.
        of: the metric.
    """

    regression_ratio: Number = None
    kept: Number = None
    best_step: int | None = None
    snapshots: int = 0
    of: str = ""


class Baseline(Record):
    """The result of a method that learns nothing, such as bicubic upscaling, on the same sources."""

    name: str
    metrics: Metrics = {}


class Evaluation(Record):
    """The evaluation of a family: `evaluated` in the result of its stage."""

    metrics: Metrics = {}
    judge_accuracy: Number = None  # share of real images whose class the extractor recognises
    samples_per_second: Number = None
    kept: str = "last"  # the checkpoint that the metrics are of
    selected_by: Selection | None = None
    averages: Averages | None = None
    checkpoints: dict[str, Checkpoint] = {}
    neighbours: Neighbours | None = None
    stability: Stability | None = None
    baselines: list[Baseline] = []
    curve: list[Point] = []  # of every snapshot that was evaluated in training


class ExternalEvaluation(Record):
    """The evaluation of a folder of images that were made elsewhere.

    In Python, it is shown as its images, data, measures, summary and what speaks against the images, which
    are some of its fields; `to_json()` has all.
    """

    source: str  # the folder's name
    images: int
    data: str
    version: str
    split: str
    preparation: str
    labelled: bool
    skipped_files: list[tuple[str, str]] = []  # (file, why it cannot be used)
    metrics: Metrics
    memorised_files: list[str] = []  # nearer to a training image than nearly all real images are
    summary: str = ""  # how good the images are beside real ones, as a sentence
    warnings: list[str] = []  # what the metrics say against the images, in sentences

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """Yield what notebooks show."""
        yield from (("source", self.source), ("images", self.images), ("data", self.data))
        yield from (("split", self.split), ("measures", measures(self.metrics)))
        yield from (("summary", self.summary), ("warnings", self.warnings))


class Part(Record):
    """done.json of a part: a range of images whose arrays are stored."""

    n: int  # images
    seconds: float = 0.0  # of sampling alone
    border: int | None = None  # pixels at each edge without a metric of pairs
