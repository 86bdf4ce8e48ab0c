"""A Prefect task for each stage.

Tasks take and return small references. The store's keys, not Prefect's cache, decide what is done already.

Tasks are not retried: Ray restarts workers, the store retries the object store's errors, and bad input would
fail again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prefect import Task, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from components.pipeline.graph import STAGES
from components.pipeline.stage import Stage
from components.stages.cache import Done
from components.stages.spec import Spec
from flows import artifacts
from flows.errors import public_to_prefect
from flows.results import record_result
from flows.run import RUNS, Run

OPTIONS: Mapping[str, Any] = {
    "cache_policy": NO_CACHE,
    "retries": 0,
    "persist_result": False,
    "log_prints": False,
}


@task(name="plan", **OPTIONS)
@public_to_prefect()
def make_plan(run_id: str) -> None:
    """Prepare and version the data if necessary; make the plan of the run and check it."""
    RUNS[run_id].make_plan()


def task_of(stage: Stage) -> Task[..., Done]:
    """Return the task of a stage; it takes the run, the family, and the results of earlier stages by name."""
    per_family = stage.scope in ("family", "sweep")

    @task(name=stage.name, task_run_name=f"{stage.name} {{family}}" if per_family else stage.name, **OPTIONS)
    @public_to_prefect()
    def do(run_id: str, family: str | None, inputs: Mapping[str, Done], spec: Spec | None = None) -> Done:
        run = RUNS[run_id]
        done = run.do(stage, spec or run.spec(stage, family), inputs)
        record_result(run, done)
        if show := ARTIFACTS.get(stage.name):
            show(run)
        return done

    do.__doc__ = stage.run.__doc__
    return do


TASKS: dict[str, Task[..., Done]] = {stage.name: task_of(stage) for stage in STAGES}


def show_table(run: Run) -> None:
    """Show the comparison table."""
    if table := run.record.manifest.table:
        rows = [{"family": row.family, **row.quality, **row.speed} for row in table]
        create_table_artifact(rows, key="results", description=f"Run {run.run_id}")


def show_verdicts(run: Run) -> None:
    """Show the gate's judgements."""
    verdicts = artifacts.verdicts(run.record.manifest.gate)
    create_markdown_artifact(verdicts, key="verdicts", description=f"Run {run.run_id}")


def show_page(run: Run) -> None:
    """Link to the page."""
    page = run.record.manifest.report
    assert page
    link = page if run.store.is_local else f"{run.store.url}/{page}"  # Prefect stores no private folder
    create_link_artifact(link=link, key="page", link_text=f"Report of run {run.run_id}")


ARTIFACTS: dict[str, Callable[[Run], None]] = {
    "compare": show_table,
    "gate": show_verdicts,
    "report": show_page,
}
"""What Prefect shows of a stage's result, once it is in the record."""
