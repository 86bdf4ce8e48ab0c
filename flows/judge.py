"""Judging without a run: any folder of images against any data set, and the extractor that judges it."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from components.cluster import ray_cluster, resources
from components.common import validation
from components.common.errors import InputError
from components.common.paths import home
from components.config import loading
from components.config.evaluate import Evaluate
from components.config.experiment import Data, Experiment
from components.data import local
from components.data.card import DataCard
from components.evaluation import comparability
from components.pipeline import work
from components.pipeline.plan import TRAINED, Plan
from components.pipeline.work import Basis
from components.registry import pins
from components.stages import cache
from components.stages.cache import Done
from components.stages.spec import Spec
from components.store import Store

Say = Callable[[str], None]


def settings(changes: Sequence[str]) -> Evaluate:
    """The section `evaluate` with `key=value` changes.

    Raises:
        InputError: an unknown key, or a value that is not accepted.
    """
    content: dict[str, Any] = {}
    for change in changes:
        content = loading.changed(content, change.removeprefix("evaluate."))
    try:
        return Evaluate(**content)
    except ValidationError as error:
        raise InputError(validation.explain(error, "evaluate", Evaluate)) from None


class Court:
    """The stages that judging rests on, for one data set in one store."""

    def __init__(self, store: Store, name: str, evaluate: Evaluate, revision: str | None, say: Say):
        self.store, self.say = store, say
        self.snapshot, version = local.data_version(home(), name, revision)
        data = Data(name=name, revision=revision)
        where = resources.device()  # as a run's, whose stages are then found
        experiment = Experiment.model_construct(device=where, data=data, families={}, evaluate=evaluate)
        self.plan = Plan.of(experiment, version, DataCard.read(self.snapshot), store)

    def stage(self, spec: Spec, body: Callable[[Store], dict[str, Any]]) -> Done:
        """A stage's result, found or made now."""
        if not cache.claimed(self.store, spec):
            self.say(f"{spec.title} ...")
        return cache.run(
            self.store,
            spec,
            lambda attempt, _: body(attempt),
            run_id="none",
            on_wait=lambda title: self.say(f"{title}: another run is at work on it, waiting"),
        )

    def data(self) -> Done:
        """The data set, in the store."""
        return self.stage(self.plan.prepare, lambda attempt: work.prepare(self.store, attempt, self.snapshot))

    def extractor(self, data: Done) -> Done:
        """The extractor, pinned."""
        self.plan, done = work.settled(self.store, self.plan, lambda plan: self._extractor(plan, data))
        return done

    def renew(self, data: Done) -> bool:
        """Pin the extractor that the data and the code of today give; False if it is the pinned one."""
        before = self.plan.pin
        made = self._extractor(replace(self.plan, pin=None), data)
        if before is not None and before["key"] == made.key:
            return False
        self.plan = work.pinned(self.store, self.plan, made, renew=before is not None)
        return True

    def _extractor(self, plan: Plan, data: Done) -> Done:
        chosen = plan.evaluate_settings
        return self.stage(plan.extractor, lambda attempt: work.extractor(self.store, attempt, data, chosen))

    def basis(self) -> Basis:
        """All of it."""
        data = self.data()
        extractor = self.extractor(data)
        spec, counts = self.plan.reference, self.plan.card.counts
        arguments = (data, extractor, counts, dict(spec.settings))
        reference = self.stage(spec, lambda attempt: work.reference(self.store, attempt, *arguments))
        return Basis(data, extractor, reference)


def evaluate(
    source: str,
    name: str,
    store: Store,
    chosen: Evaluate,
    *,
    split: str = "test",
    revision: str | None = None,
    independent: bool = False,
    say: Say,
) -> dict[str, Any]:
    """Judge the images in a folder (or below a URL) against a split of a data set.

    Args:
        source: of the images.
        name: of the data set; prepared first if it is a known one.
        store: where extractor, reference and data are kept.
        chosen: how to judge.
        split: what the images are compared with.
        revision: of the data; None: the pinned version.
        independent: the user vouches that these are independent samples, none of them selected.
        say: told what is going on.

    Raises:
        InputError: the folder is empty, an image is damaged, or they are too few.
    """
    from components.data.external import look

    court = Court(store, name, chosen, revision, say)
    if split not in court.plan.card.counts:
        raise InputError(f"--split {split}: data set {name} has {', '.join(court.plan.card.counts)}")
    with tempfile.TemporaryDirectory() as folder, parts_in(store) as parts:
        outside = look(source, court.plan.card, Path(folder))
        if outside.resized:
            pixels = court.plan.card.resolution
            say(f"{outside.resized:,} images are not {pixels} pixels square: {outside.preparation}")
        try:
            basis = court.basis()
            seeds = comparability.INDEPENDENT if independent else comparability.AS_GIVEN
            metrics = work.judge_folder(store, basis, outside, parts, chosen.threads, split, seeds)
        finally:
            ray_cluster.disconnect()
    return {
        "source": Path(source).name,
        "images": len(outside.paths),
        "data": name,
        "version": court.plan.version,
        "split": split,
        "preparation": outside.preparation,
        "labelled": outside.labels is not None,
        "metrics": metrics,
    }


@contextmanager
def parts_in(store: Store) -> Iterator[str]:
    """A folder in the store for the parts of one judgement, gone afterwards."""
    parts = f"scratch/{secrets.token_hex(6)}"
    try:
        yield parts
    finally:
        store.delete(parts)


def extractor_status(store: Store, name: str) -> list[dict[str, Any]]:
    """The extractors that are or were pinned for a data set."""
    rows = []
    for recipe in store.list(f"registry/{name}"):
        known = pins.pins(store, name, recipe)
        for pin in known:
            rows.append({"extractor": recipe, **pin, "in_use": pin["number"] == len(known)})
    return rows


def renew_extractor(store: Store, name: str, chosen: Evaluate, say: Say) -> dict[str, Any]:
    """Replace the pinned extractor of a data set: its numbers from now on do not compare with older ones."""
    court = Court(store, name, chosen, None, say)
    if court.plan.extractor_kind not in TRAINED:
        raise InputError(
            f"only extractors that are trained on the data are pinned ({', '.join(TRAINED)}); "
            f"{court.plan.extractor_kind} is what its file is"
        )
    try:
        changed = court.renew(court.data())
    finally:
        ray_cluster.disconnect()
    assert court.plan.pin is not None
    return {"changed": changed, **court.plan.pin}
