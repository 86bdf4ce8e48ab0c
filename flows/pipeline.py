"""The pipeline: data stages, stages of families as soon as they can begin, comparison and page."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prefect import flow, runtime
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.futures import PrefectFuture, as_completed

from components.cluster import ray_cluster, resources
from components.pipeline.graph import family_stages, inputs, of_scope
from components.pipeline.stage import Stage
from components.stages.cache import Done
from flows import artifacts
from flows.errors import public_to_prefect
from flows.run import RUNS, Run
from flows.signals import stop_on_signals
from flows.tasks import TASKS, make_plan


@flow(name="atelier", flow_run_name="{run_id}", retries=0, persist_result=False, validate_parameters=False)
@public_to_prefect()
def pipeline(run_id: str, experiment: Mapping[str, Any]) -> str:
    """Run the experiment; return done, partial or failed.

    As many stages of families are done at once as trainings fit. Of those that can begin, trainings come
    first, then those of earlier families: the first, which should be the longest, keeps its cores throughout
    while the others take turns on the rest. A family that builds on others' models waits for those.
    """
    run = RUNS[run_id]
    run_data_stages(run)
    run_family_stages(run, list(run.experiment.families))
    return run_final_stages(run)


def run_data_stages(run: Run) -> None:
    """Plan the run, and do the stages that all families need; start Ray if any stage must be computed."""
    make_plan(run.run_id)
    with contextlib.suppress(Exception):  # the run does not depend on it
        describe_flow_run(run)
    if not run.experiment.sweep:
        run.say_forecast()
    first, *others = [stage for stage in of_scope("data") if stage.applies(run.plan)]
    do(run, first)
    if run.has_jobs():
        ray_cluster.connect()
    stop_on_signals()  # again: Prefect and Ray have installed their own handlers
    for stage in others:
        do(run, stage)


def describe_flow_run(run: Run) -> None:
    """Name the flow run by its data set, data version, families and id; tag it with data set and families.

    The tags are given here, since tasks inherit those of Prefect's context, and a task with tags first asks
    the server for the limits of each, which takes more than a second.
    """
    data, families = run.experiment.data.name, list(run.experiment.families)
    name = f"{data} {run.plan.version[:10]}: {', '.join(families)} ({run.run_id})"
    new = [f"data:{data}", *(["smoke"] if run.experiment.smoke else []), *families]
    with get_client(sync_client=True) as client:
        client.update_flow_run(runtime.flow_run.id, name=name, tags=[*runtime.flow_run.tags, *new])


def do(run: Run, stage: Stage) -> Done:
    """Do a stage of the run, and return its result."""
    return TASKS[stage.name](run.run_id, None, dict(run.results))


@dataclass
class Step:
    """A stage of a family, still to be done."""

    stage: Stage
    family: str
    inputs: list[str] = field(default_factory=list)  # names of results

    @property
    def name(self) -> str:
        """The name of its result."""
        return f"{self.stage.name}/{self.family}"


def steps(run: Run, families: Sequence[str], only: Sequence[str] = ()) -> list[Step]:
    """Return the steps of families, stage by stage; `only` lists the stages to include (empty: all)."""
    return [
        Step(stage, family, inputs(run.plan, stage, stage.spec(run.plan, family)))
        for stage in of_scope("family")
        for family in families
        if stage in family_stages(run.plan, family) and (not only or stage.name in only)
    ]


def run_family_stages(run: Run, families: Sequence[str], only: Sequence[str] = ()) -> None:
    """Do the stages of families, each as soon as its inputs exist; skip those whose input failed."""
    waiting, lost = steps(run, families, only), set[str]()
    under_way: dict[PrefectFuture[Done], Step] = {}
    most = resources.concurrent_trainings(run.plan.experiment)
    while begin(run, waiting, under_way, lost, most) or under_way:
        if not under_way:
            continue  # a skipped step may cause others to be skipped
        future = next(as_completed(list(under_way)))
        step = under_way.pop(future)
        future.wait()
        if not future.state.is_completed():
            lost.add(step.name)


def begin(
    run: Run, waiting: list[Step], under_way: dict[PrefectFuture[Done], Step], lost: set[str], most: int
) -> bool:
    """Submit the first steps that can begin, drop those that lost an input; return whether there were any.

    At most `most` are under way: one that waited for a thread would keep its place before a longer chain.
    """
    before = len(waiting)
    for step in list(waiting):
        if missing := [name for name in step.inputs if name in lost]:
            lost.add(step.name)
            waiting.remove(step)
            refuse(run, step, missing[0])
        elif len(under_way) < most and all(name in run.results for name in step.inputs):
            future = TASKS[step.stage.name].submit(run.run_id, step.family, dict(run.results))
            under_way[future] = step
            waiting.remove(step)
    return len(waiting) < before


def refuse(run: Run, step: Step, missing: str) -> None:
    """Record that a training cannot begin because a model it builds on could not be trained."""
    stage, _, family = missing.partition("/")
    if step.stage.name == "train" and stage == "train":
        run.refuse(step.family, f"it builds on {family}, which could not be trained")


def run_final_stages(run: Run) -> str:
    """Compare, report and publish; return done, partial or failed."""
    exported = [family for family in run.experiment.families if f"export/{family}" in run.results]
    for family in run.experiment.families:
        if family not in exported:
            run.failed.setdefault(family, "a stage it depends on failed")
    run.record.update(status="partial" if run.failed else "done")
    for stage in of_scope("run"):
        if stage.name != "publish" or exported:
            do(run, stage)
    timeline = artifacts.timeline(run.record.manifest.stages)
    create_markdown_artifact(timeline, key="timeline", description=f"Run {run.run_id}")
    return "failed" if not exported else "partial" if run.failed else "done"
