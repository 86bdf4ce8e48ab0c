"""Train a finalist with another seed and evaluate it with more samples."""

from __future__ import annotations

from dataclasses import dataclass

from components.common import hashing
from components.common.seeds import derive
from components.common.threads import using_threads
from components.records.base import Number, Record
from components.records.sweep import FinalistSeed
from components.records.trial import ScheduleEntry
from components.store.errors import outlasting
from components.tuning.trial import (
    reason,
    sample,
    spec_of,
    trained,
    training_of,
)
from components.tuning.trial_context import TrialContext


@dataclass(frozen=True)
class Repeat:
    """A finalist with one seed, to be trained and evaluated with more samples."""

    context: TrialContext
    schedule: tuple[ScheduleEntry, ...]
    seed: int
    samples: int
    folder: str  # folder in the store for results

    @property
    def part(self) -> str:
        """The file of the result; its name is a hash of what the result depends on."""
        values = dict(self.schedule[0].values)
        model = values if self.context.model else self._trial_key()
        key = hashing.key_of({"of": model, "seed": self.seed, "samples": self.samples})
        return f"{self.folder}/{key}.json"

    def _trial_key(self) -> str:
        return spec_of(self.context, training_of(self.context, self.schedule)).key


class Retrained(Record):
    """A finalist's model: its folder and its cost, or the reason of a failure."""

    model: str = ""
    uri: str | None = None  # of the training
    cost: Number = None  # seconds of training; None: not trained
    reason: str | None = None


def retrained(job: Repeat) -> Retrained:
    """Return a finalist's model with one seed; train it unless it exists."""
    if job.context.model:
        return Retrained(model=job.context.model)
    try:
        done = trained(job.context, job.schedule, lambda report: None, seed=job.seed)
    except Exception as error:  # of any kind: one finalist does not end a sweep
        return Retrained(reason=reason(error))
    assert done is not None
    return Retrained(model=f"{done.uri}/model", cost=done.work_seconds, uri=done.uri)


def rescored(job: Repeat, training: Retrained) -> FinalistSeed:
    """Return the value of a finalist, from samples of a seed that no trial used."""
    store, context = job.context.store, job.context
    if training.reason is not None:
        return FinalistSeed(seed=job.seed, reason=training.reason)
    if store.exists(job.part) and (earlier := FinalistSeed.read(store.read_json(job.part))):
        return earlier.model_copy(update={"uri": training.uri})
    change = job.schedule[0].values if context.model else {}
    try:
        with using_threads(context.threads):
            seed = derive(job.seed, "finals")
            images, seconds, jury = outlasting(
                lambda: sample(context, training.model, job.samples, seed, change)
            )
            metrics = jury(images)
    except Exception as error:
        return FinalistSeed(seed=job.seed, reason=reason(error), uri=training.uri)
    result = FinalistSeed(
        seed=job.seed,
        value=metrics[context.metric],
        diversity=metrics["diversity"],
        n=len(images),
        cost=seconds / len(images) if training.cost is None else training.cost,
        uri=training.uri,
    )
    outlasting(lambda: store.write_json(job.part, result.to_json()))
    return result
