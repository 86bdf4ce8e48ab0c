"""A run in which nothing is new: every result is in the store, so neither Prefect nor Ray is started."""

from __future__ import annotations

import os
from collections.abc import Collection

from components.config.experiment import Experiment
from components.pipeline.graph import planned
from components.pipeline.stage import Stage
from components.stages import cache
from components.stages.spec import Spec
from components.store import Store
from flows.results import record_result
from flows.run import Run
from flows.setup import plan_of

Stages = list[tuple[Stage, Spec]]


def unchanged_stages(experiment: Experiment, store: Store, force: Collection[str]) -> Stages | None:
    """Return the stages of a run if each has its result in the store, else None.

    A sweep decides trial by trial, and a source that is read again may have changed. A Prefect server that
    the user names shows every run, so that a run goes there although nothing is new.
    """
    if force or experiment.sweep or experiment.data.refresh or os.environ.get("PREFECT_API_URL"):
        return None
    if (plan := plan_of(experiment, store)) is None:
        return None
    stages = list(planned(plan).values())
    return stages if all(cache.finished(store, spec) for _, spec in stages) else None


def repeat(run: Run, stages: Stages) -> str:
    """Record the results of `unchanged_stages` as those of a run; return its status."""
    run.make_plan()
    with run.record.writing_once():
        for stage, spec in stages:
            record_result(run, run.do(stage, spec, run.results))
    return "done"
