"""Finalists: train a trial again with other seeds and evaluate it with more samples."""

from __future__ import annotations

from dataclasses import dataclass

from components.common import hashing
from components.common.seeds import derive
from components.common.threads import using_threads
from components.records.base import Number, Record
from components.records.sweep import FinalistSeed
from components.records.trial import ScheduleEntry
from components.tuning.trial import TrialContext, reason, sample, spec_of, trained, training_of


@dataclass(frozen=True)
class Repeat:
    """A finalist with one seed: train it unless it is, and evaluate it with more samples of another seed."""

    context: TrialContext
    schedule: tuple[ScheduleEntry, ...]
    seed: int
    samples: int
    folder: str  # in the store, for results

    @property
    def part(self) -> str:
        """The file of the result, addressed by what it depends on."""
        values = dict(self.schedule[0].values)
        of = values if self.context.model else self._trial_key()
        key = hashing.key_of({"of": of, "seed": self.seed, "samples": self.samples})
        return f"{self.folder}/{key}.json"

    def _trial_key(self) -> str:
        return spec_of(self.context, training_of(self.context, self.schedule)).key


class Retrained(Record):
    """A finalist's model: its folder and its cost, or why there is none."""

    model: str = ""
    uri: str | None = None  # of the training
    cost: Number = None  # seconds; None: not trained again
    reason: str | None = None


def retrained(job: Repeat) -> Retrained:
    """A finalist's model with one seed, trained now unless it exists."""
    if job.context.model:
        return Retrained(model=job.context.model)
    try:
        done = trained(job.context, job.schedule, lambda report: None, seed=job.seed)
    except Exception as error:  # whatever it is: one finalist does not end a sweep
        return Retrained(reason=reason(error))
    assert done is not None
    return Retrained(model=f"{done.uri}/model", cost=done.work_seconds, uri=done.uri)


def rescored(job: Repeat, made: Retrained) -> FinalistSeed:
    """The value of a finalist by the samples of a seed that no trial was evaluated with."""
    store, context = job.context.store, job.context
    if made.reason is not None:
        return FinalistSeed(seed=job.seed, reason=made.reason)
    if store.exists(job.part) and (earlier := FinalistSeed.read(store.read_json(job.part))):
        return earlier.model_copy(update={"uri": made.uri})
    change = job.schedule[0].values if context.model else {}
    try:
        with using_threads(context.threads):
            seed = derive(job.seed, "finals")
            images, seconds, jury = sample(context, made.model, job.samples, seed, change)
            metrics = jury(images)
    except Exception as error:
        return FinalistSeed(seed=job.seed, reason=reason(error), uri=made.uri)
    result = FinalistSeed(
        seed=job.seed,
        value=metrics[context.metric],
        diversity=metrics["diversity"],
        n=len(images),
        cost=seconds / len(images) if made.cost is None else made.cost,
        uri=made.uri,
    )
    store.write_json(job.part, result.to_json())
    return result
