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

from components.common.errors import InputError
from components.common.paths import home
from components.data.card import DatasetCard
from components.data.local import data_version
from components.data.sources.splits import evaluable
from components.pipeline import prepare
from components.pipeline.check import check
from components.pipeline.compare import family_result
from components.pipeline.graph import STAGES
from components.pipeline.plan import Plan
from components.pipeline.stage import Stage
from components.records.run import Comparison
from components.records.stages import GateResult
from components.stages.cache import Done, read
from components.stages.spec import Spec
from flows import artifacts
from flows.errors import public_to_prefect
from flows.run import RUNS, Run

OPTIONS: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "retries": 0,
    "persist_result": False,
    "log_prints": False,
}


@task(name="plan", **OPTIONS)
@public_to_prefect()
def make_plan(run_id: str) -> None:
    """Prepare and version the data if necessary; make the plan of the run and check it."""
    run = RUNS[run_id]
    name, version = run.experiment.data.name, run.version
    if version is None:
        snapshot, version = data_version(home(), name, run.experiment.data.revision)
        card: DatasetCard | None = DatasetCard.read(snapshot)
    elif (card := prepare.stored(run.store, name, version)) is None:
        raise InputError(f"the store has lost version {version} of {name}; run the same command again")
    run.plan = Plan.of(run.experiment, version, evaluable(card), run.store)
    run.record.data(run.plan)
    check(run.plan, run.store)


def task_of(stage: Stage) -> Task[..., Done]:
    """Return the task of a stage; it takes the run, the family, and the results of earlier stages by name."""
    per_family = stage.scope in ("family", "sweep")

    @task(name=stage.name, task_run_name=f"{stage.name} {{family}}" if per_family else stage.name, **OPTIONS)
    @public_to_prefect()
    def do(run_id: str, family: str | None, inputs: Mapping[str, Done], spec: Spec | None = None) -> Done:
        run = RUNS[run_id]
        done = run.do(stage, spec or run.spec(stage, family), inputs)
        AFTER.get(stage.name, nothing)(run, done)
        return done

    do.__doc__ = stage.run.__doc__
    return do


TASKS: dict[str, Task[..., Done]] = {stage.name: task_of(stage) for stage in STAGES}


# Called when a stage is done, to record and show its result.


def nothing(run: Run, done: Done) -> None:
    """Show nothing."""


def show_evaluation(run: Run, done: Done) -> None:
    """Add a family's result to the record, and update the page."""
    run.record.result(family_result(run.store, run.results[f"train/{done.family}"], done))
    if done.state == "ran":
        run.show()


def show_table(run: Run, done: Done) -> None:
    """Add the comparison table to the record and to Prefect's artifacts."""
    comparison = Comparison.read(read(run.store, done))
    assert comparison
    run.record.update(results=comparison.results, table=comparison.table)
    if comparison.table:
        rows = [{"family": row.family, **row.quality, **row.speed} for row in comparison.table]
        create_table_artifact(rows, key="results", description=f"Run {run.run_id}")


def show_verdicts(run: Run, done: Done) -> None:
    """Add the gate's judgements to the record and to Prefect's artifacts."""
    result = GateResult.read(read(run.store, done))
    assert result
    run.record.update(gate=result.judgements)
    create_markdown_artifact(
        artifacts.verdicts(result.judgements), key="verdicts", description=f"Run {run.run_id}"
    )


def show_page(run: Run, done: Done) -> None:
    """Record the page, and link to it in Prefect."""
    page = read(run.store, done)["page"]
    run.record.update(report=page)
    link = page if run.store.is_local else f"{run.store.url}/{page}"  # Prefect stores no private folder
    create_link_artifact(link=link, key="page", link_text=f"Report of run {run.run_id}")


def show_published(run: Run, done: Done) -> None:
    """Record the publication."""
    run.record.update(published=read(run.store, done)["published"])


AFTER: dict[str, Callable[[Run, Done], None]] = {
    "evaluate": show_evaluation,
    "compare": show_table,
    "gate": show_verdicts,
    "report": show_page,
    "publish": show_published,
}
