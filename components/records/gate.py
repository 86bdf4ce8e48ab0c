"""Records of the gate: verdicts on the results of a run, and the champions of a data set and task."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

from components.common.errors import InputError
from components.records.base import Number, Record
from components.records.evaluation import Metrics

TOLERANCE = 1.0  # mean difference, in levels of 255, of samples that another kind of processor draws
BLESSED, NOT_BLESSED, PENDING = "BLESSED", "NOT BLESSED", "PENDING"


class Reason(Record):
    """The finding of one rule of the gate; `passed` is None where the rule does not apply."""

    rule: str
    passed: bool | None = None
    text: str = ""


class Verdict(Record):
    """The reasons of a verdict, which is BLESSED if no rule failed."""

    reasons: list[Reason] = []

    @property
    def word(self) -> str:
        """BLESSED or NOT BLESSED."""
        return NOT_BLESSED if self.failed else BLESSED

    @property
    def failed(self) -> list[str]:
        """Why it is not blessed, a sentence for each rule that failed."""
        return [reason.text for reason in self.reasons if reason.passed is False]


class Margin(Record):
    """The comparison of a challenger's metric with the champion's, and the noise that it must exceed.

    Attributes:
        metric: the metric that ranks results of the task.
        value: of the challenger.
        champion: of the champion, by the same protocol.
        gain: how much better the challenger is; below 0: worse.
        noise: half the 95 % interval of the gain; None: an interval is missing.
        seeds: how many trainings with different seeds each side's variance is estimated from; 1: none is.
    """

    metric: str
    value: float
    champion: float
    gain: float
    noise: Number = None
    seeds: int = 1
    champion_seeds: int = 1

    @property
    def exceeded(self) -> bool:
        """Whether the challenger is better by more than noise."""
        return self.noise is not None and self.gain > self.noise


class Machine(Record):
    """The machine on which the bits of samples depend: the kind of processor, and PyTorch's version."""

    processor: str
    torch: str


class Reproduction(Record):
    """The comparison of an exported model's samples with the published ones; `error`: why there is none."""

    images: int = 0
    difference: Number = None  # mean absolute, in levels of 255
    error: str | None = None
    machine: Machine | None = None  # that drew them again


class ModelFile(Record):
    """A file of a model."""

    path: str
    bytes: int
    sha256: str


class ModelReference(Record):
    """An exported model: its run and family, its folder in the store, and its files."""

    run_id: str
    family: str
    folder: str
    files: list[ModelFile]

    @property
    def address(self) -> str:
        """RUN/FAMILY."""
        return f"{self.run_id}/{self.family}"

    @property
    def weights(self) -> str:
        """The hash of the weights, by which models are told apart."""
        hashes = (file.sha256 for file in self.files if file.path == "model.safetensors")
        return next(hashes, "")


class Judgement(Record):
    """The gate's judgement of a family's result.

    Attributes:
        champion: number of the champion that it was compared with; 0: there was none.
        against: RUN/FAMILY of that champion.
        reevaluated: why the champion was evaluated again, if it was.
        quality: the verdict on the numbers and the training.
        export: the verdict on the exported model.
        number: of the champion that the result has become.
        expires: until when a person may promote it; None unless the run's config has `review: manual`.
        metrics: of the result.
        training: identifies the training without its seed (registry/seeds.py).
        drawn: how the exported model drew its published samples again.

    In Python, it is shown as its model, its word and why it is not blessed; `to_json()` has all.
    """

    data_set: str
    task: str
    data: str  # the version
    model: ModelReference
    champion: int = 0
    against: str | None = None
    reevaluated: str | None = None
    margin: Margin | None = None
    quality: Verdict
    export: Verdict
    number: int | None = None
    expires: str | None = None
    metrics: Metrics = {}
    training: str | None = None
    drawn: Reproduction | None = None

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """Yield what notebooks show."""
        yield from (("model", self.model.address), ("word", self.word), ("failed", self.failed))

    @property
    def is_blessed(self) -> bool:
        """Whether both verdicts are BLESSED."""
        return not self.failed

    @property
    def failed(self) -> list[str]:
        """Why it is not blessed."""
        return [*self.quality.failed, *self.export.failed]

    @property
    def word(self) -> str:
        """BLESSED, NOT BLESSED, or PENDING where a person decides."""
        if not self.is_blessed:
            return NOT_BLESSED
        return PENDING if self.expires and self.number is None else BLESSED

    @property
    def has_expired(self) -> bool:
        """Whether the time of its review is over, or no time."""
        if self.expires is None:
            return False
        try:
            return datetime.fromisoformat(self.expires) < datetime.now(UTC)
        except (ValueError, TypeError):  # no time, or one without a zone
            return True


Action = Literal["promoted", "rolled back"]


class Decision(Record):
    """A decision, who took it and why; `override` is set where the gate had not blessed the model."""

    who: str
    why: str
    when: str
    override: bool = False


class Champion(Decision):
    """An entry of the champions of a data set and task: numbered, never changed; the highest counts.

    `restores` is the number of the earlier entry that a rollback returns to.
    """

    number: int
    action: Action = "promoted"
    restores: int | None = None
    judgement: Judgement

    @property
    def model(self) -> ModelReference:
        """The champion's model."""
        return self.judgement.model

    def to_json(self) -> dict[str, Any]:
        """Return the contents of its file."""
        return {"schema": 1, **super().to_json()}

    def check(self, data_set: str, task: str) -> Champion:
        """Return the entry; raise InputError if it is a champion of other data or another task."""
        of = self.judgement
        if (of.data_set, of.task) != (data_set, task):
            raise InputError(
                f"champion {self.number} of {data_set}/{task} is a champion of {of.data_set}/{of.task}: its "
                "file was copied there; move it back"
            )
        return self


class Rejection(Decision):
    """A person's decision against a model, numbered and never changed."""

    number: int
    judgement: Judgement
