"""Finalists: train a trial again with other seeds and evaluate it with more samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.common import hashing
from components.common.seeds import derive
from components.common.threads import using_threads
from components.store import Store
from components.tuning.trial import Terms, block_of, judged_draw, reason, spec_of, trained


@dataclass(frozen=True)
class Repeat:
    """A finalist with one seed: train it unless it is, and judge it by more samples of a seed of its own."""

    terms: Terms
    schedule: tuple[Mapping[str, Any], ...]
    seed: int
    samples: int
    folder: str  # in the store, for what is found

    @property
    def part(self) -> str:
        """The file for it, addressed by what it depends on."""
        values = self.schedule[0]["values"]
        what = values if self.terms.model else spec_of(self.terms, block_of(self.terms, self.schedule)).key
        told = {"of": what, "seed": self.seed, "samples": self.samples}
        return f"{self.folder}/{hashing.key_of(told)}.json"


def retrained(job: Repeat) -> dict[str, Any]:
    """A finalist's model with one seed, trained now unless it is: where it lies, and what it cost in seconds.

    Where it cannot be trained, the reason.
    """
    terms = job.terms
    if terms.model:
        return {"model": terms.model}
    try:
        done = trained(terms, job.schedule, lambda said: None, seed=job.seed)
    except Exception as error:  # whatever it is: one finalist does not end a sweep
        return {"reason": reason(error)}
    assert done is not None
    return {"model": f"{done.uri}/model", "cost": done.work_seconds, "uri": done.uri}


def rescored(job: Repeat, found: Mapping[str, Any]) -> dict[str, Any]:
    """The value of a finalist by the samples of a seed that no trial was judged by; `found`: retrained."""
    store, terms = Store(job.terms.store), job.terms
    nothing: dict[str, Any] = {"seed": job.seed, "value": None, "diversity": None}
    if "reason" in found:
        return nothing | {"reason": found["reason"]}
    if store.exists(job.part):
        known: dict[str, Any] = store.read_json(job.part)
        return known
    change = job.schedule[0]["values"] if terms.model else {}
    try:
        with using_threads(terms.threads):
            seed = derive(job.seed, "finals")
            images, seconds, jury = judged_draw(terms, found["model"], job.samples, seed, change)
            judged = jury(images)
    except Exception as error:
        return nothing | {"reason": reason(error)}
    told = {"seed": job.seed, "value": judged[terms.metric], "diversity": judged["diversity"]}
    told |= {"n": len(images), "cost": found.get("cost", seconds / len(images))}
    store.write_json(job.part, told)
    return told
