"""Stage `prepare`: copy the prepared data into the store, where every worker can read it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from components.common.atomic import sync
from components.common.paths import home
from components.data.card import DatasetCard
from components.data.local import verified_snapshot
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.stages import PreparedData, PrepareResult
from components.stages import cache
from components.stages.spec import Spec
from components.store import Store
from components.store.errors import MISSING_OR_TORN


def spec(plan: Plan) -> Spec:
    """Return the spec, which depends on the version of the data only."""
    return _spec(plan.experiment.data.name, plan.version)


def _spec(name: str, version: str) -> Spec:
    return Spec("prepare", {"name": name}, {}, data=version)


def stored(store: Store, name: str, version: str) -> DatasetCard | None:
    """Return the card of a version of a data set that the store has; None if it does not have it."""
    spec = _spec(name, version)
    if (done := cache.finished(store, spec)) is None:
        return None
    try:
        return DatasetCard.model_validate(store.read_json(f"{done.uri}/data/card.json"))
    except (*MISSING_OR_TORN, ValueError):
        return None


def run(context: Context) -> PrepareResult:
    """Put an immutable copy of the data into the store, after verifying that its files are the version's."""
    snapshot = verified_snapshot(home(), context.plan.experiment.data.name, context.plan.version)
    store_data(snapshot, context.attempt)
    card = DatasetCard.read(snapshot)
    described = card.model_dump(include={"name", "title", "counts", "labels"})
    return PrepareResult(data=PreparedData(**described))


def store_data(snapshot: Path, folder: Store) -> None:
    """Put a data set into `folder`/data."""
    if folder.is_local:
        _link(snapshot, Path(folder.path("data")))
    else:
        folder.upload(snapshot, "data")


def _link(source: Path, target: Path) -> None:
    """Copy a folder by hard links, or by bytes if the two are on different disks."""

    def link(a: str, b: str) -> None:
        try:
            os.link(a, b)
        except OSError:
            shutil.copyfile(a, b)

    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, copy_function=link)
    sync(target)


STAGE = Stage("prepare", "data", spec, run, on_cluster=False)
