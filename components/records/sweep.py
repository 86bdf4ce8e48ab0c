"""Results of a sweep: finalists, winner, importance, recommendations, and the winner's confirmation."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from components.common.finite import finite
from components.records.base import Number, Record
from components.records.trial import Decision, ScheduleEntry, Trial, Values

End = Annotated[int | float | None, BeforeValidator(finite)]  # of a range; whole numbers stay whole


class SearchedHyperparameter(Record):
    """A hyperparameter that is searched: a range with `low`, `high` and `scale`, or a choice of `values`."""

    name: str
    kind: str = "range"  # or choice
    low: End = None
    high: End = None
    scale: str | None = None  # linear or log
    values: list[Any] | None = None
    integer: bool = False
    default: Any = None  # the experiment's own value
    recommended: Any = None
    source: str | None = None  # who recommends it
    sampling: bool = False
    active_if: list[Any] = []


class SweepMetric(Record):
    """The quantity by which trials are compared; lower is better."""

    name: str = ""
    n: int | None = None  # images
    split: str = ""
    real_baseline: Number = None


class Cost(Record):
    """The cost of a trial."""

    name: str = ""
    unit: str = ""


class SweepSettings(Record):
    """The settings of a sweep's search."""

    searcher: str = ""
    scheduler: str = ""
    evaluations: int | None = None
    rungs: list[int] = []
    reduction_factor: int | None = None
    min_diversity: Number = None
    steps: int | None = None  # of a trial; None: trials only sample
    trials: int | None = None  # planned
    concurrent: int | None = None
    because: str = ""  # why so many at once


class FinalistSeed(Record):
    """A finalist, trained with one seed and evaluated with more samples; or why it has no value."""

    seed: int
    value: Number = None
    diversity: Number = None
    n: int | None = None  # images
    cost: Number = None
    uri: str | None = None
    reason: str | None = None


class Finalist(Record):
    """One of the best trials, evaluated on several seeds; the experiment's own settings are number 0."""

    number: int
    values: Values = {}
    schedule: list[ScheduleEntry] | None = None
    repeats: list[FinalistSeed] = []
    mean: Number = None  # None: with some seed it has no value
    low: Number = None
    high: Number = None
    n: int | None = None  # images
    cost: Number = None
    diversity: Number = None  # the least of all seeds


class Winner(Record):
    """The finalist to train with all steps."""

    number: int
    values: Values = {}
    schedule: list[ScheduleEntry] | None = None
    mean: Number = None
    why: str = ""


class Share(Record):
    """The share of the variance of trials' ranks that a hyperparameter explains alone, with its interval."""

    value: float
    low: Number = None
    high: Number = None
    chance: Number = None  # once in 20 sweeps any hyperparameter has more without an effect


class Importance(Record):
    """The importance of hyperparameters by name, from `n` trials as they were `at` some evaluation."""

    n: int = 0
    at: str = ""
    of: dict[str, Share] = {}


class ChoiceCount(Record):
    """Of a choice's value: how many of the best trials have it, and how many of all."""

    value: Any = None
    best: int
    trials: int


class Recommendation(Record):
    """The evidence of the best trials on a recommended value, or else on the default."""

    name: str
    recommended: Any = None
    source: str | None = None
    best_low: Number = None  # of a range
    best_high: Number = None
    shares: list[ChoiceCount] = []  # of a choice
    verdict: str = ""  # within, outside or undecided
    says: str = ""


class Overhead(Record):
    """Seconds that trials took besides their work."""

    mean: float
    max: Number = None


class SweepResult(Record):
    """The result of the stage `sweep`, under "swept"; a running sweep's so far, in progress.json."""

    family: str = ""
    kind: str = "training"  # or sampling
    seed: int | None = None
    metric: SweepMetric = SweepMetric()
    cost: Cost = Cost()
    settings: SweepSettings = SweepSettings()
    hyperparameters: list[SearchedHyperparameter] = []
    trials: list[Trial] = []
    decisions: list[Decision] = []
    finalists: list[Finalist] = []
    winner: Winner | None = None
    importance: Importance | None = None
    recommendations: list[Recommendation] = []
    overhead_seconds: Overhead | None = None
    seconds_left: Number = None  # of a running sweep


class Difference(Record):
    """A mean difference with its 95 % interval; of one pair there is none."""

    value: Number = None
    low: Number = None
    high: Number = None


class SideFailure(Record):
    """A training of a confirmation that failed."""

    side: str
    seed: int
    reason: str = ""


class SecondsPerImage(Record):
    """The seconds that both sides of a confirmation take to sample an image."""

    winner: float
    default: float


class Confirmation(Record):
    """The result of the stage `confirmation`, under "confirmation": winner and default by fresh seed."""

    metric: str = ""
    n: int | None = None  # images
    split: str = ""
    real_baseline: Number = None
    seeds: list[int] = []
    winner: list[Number] = []
    default: list[Number] = []
    difference: Difference = Difference()
    says: str = ""
    failed: list[SideFailure] = []
    seconds_per_image: SecondsPerImage | None = None  # where only sampling is searched
