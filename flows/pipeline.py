"""The pipeline: data, families side by side, judging, comparing, exporting, the page, publishing."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.futures import PrefectFuture, as_completed

from components.cluster import ray_cluster
from components.pipeline.work import Basis
from components.stages.cache import Done
from flows import tasks
from flows.run import RUNS, Run
from flows.signals import stop_on_signals


@flow(name="atelier", flow_run_name="{run_id}", retries=0, persist_result=False, validate_parameters=False)
def pipeline(run_id: str, experiment: dict[str, Any]) -> str:
    """Run the experiment; returns done, partial or failed.

    The task runner has as many threads as trainings fit side by side, and starts tasks in the order they are
    submitted: the first family, which should be the longest, keeps its cores throughout while the others
    take turns on the rest. A family that builds on others' models waits for those.
    """
    run = RUNS[run_id]
    basis = founded(run)
    trained, evaluated = trained_and_judged(run, basis, list(run.experiment.families))
    return finished(run, basis, trained, evaluated)


def founded(run: Run) -> Basis:
    """The data and what judging rests on; Ray is there where anything is to be computed."""
    run_id = run.run_id
    data = tasks.prepare(run_id)
    if run.has_jobs():
        ray_cluster.connect()
    stop_on_signals()  # once more: Prefect and Ray have put handlers of their own in place
    extractor = tasks.extractor(run_id, data)
    reference = tasks.reference(run_id, data, extractor)
    captions = tasks.captions(run_id, data) if run.plan.captions else None
    return Basis(data, extractor, reference, captions)


def trained_and_judged(
    run: Run, basis: Basis, families: list[str]
) -> tuple[dict[str, Done], dict[str, Done]]:
    """The families that could be trained, and those that could be judged too, with what they build on."""
    waiting, lost = list(families), set[str]()
    trained: dict[str, Done] = {}
    evaluations: dict[str, PrefectFuture[Done]] = {}
    trainings = begun(run, basis, waiting, trained, lost)
    while trainings:
        future = next(as_completed(list(trainings)))
        family = trainings.pop(future)
        if done := outcome(future):
            trained[family] = done
        else:
            lost.add(family)
        trainings |= begun(run, basis, waiting, trained, lost)
        if done:
            evaluations[family] = tasks.evaluate.submit(run.run_id, family, basis, done)
    return trained, {family: done for family in families if (done := outcome(evaluations.get(family)))}


def finished(
    run: Run,
    basis: Basis,
    trained: dict[str, Done],
    evaluated: dict[str, Done],
    examined: dict[str, Done] | None = None,
) -> str:
    """Export, examine, compare, report and publish; returns done, partial or failed.

    `examined` holds what is known besides already, by stage and family.
    """
    run_id, families = run.run_id, list(run.experiment.families)
    exported = {
        family: done
        for family in evaluated
        if (
            done := outcome(
                tasks.export.submit(run_id, family, basis.data, trained[family], evaluated[family])
            )
        )
    }
    found = examinations(run, basis, trained, [family for family in families if family in evaluated])
    for family in families:
        if family not in exported:
            run.failed.setdefault(family, "a stage it depends on failed")
    compared = tasks.compare(run_id, trained, evaluated)
    reported = tasks.report(run_id, compared, (examined or {}) | found)
    if exported:
        tasks.publish(run_id, reported, exported)
    return "failed" if not exported else "partial" if run.failed else "done"


def begun(
    run: Run, basis: Basis, waiting: list[str], trained: dict[str, Done], lost: set[str]
) -> dict[PrefectFuture[Done], str]:
    """The trainings that can begin, and no longer wait; what builds on a lost one is lost too."""
    trainings = {}
    for family in list(waiting):
        below = run.plan.upstream(family)
        if failed := [other for other in below.values() if other in lost]:
            run.refuse(family, f"it builds on {failed[0]}, which could not be trained")
            lost.add(family)
            waiting.remove(family)
        elif all(other in trained for other in below.values()):
            models = {name: trained[other] for name, other in below.items()}
            trainings[train(run, family, basis, models)] = family
            waiting.remove(family)
    return trainings


def train(run: Run, family: str, basis: Basis, models: dict[str, Done]) -> PrefectFuture[Done]:
    """Submit a training, after the encoding of its images where that is kept."""
    latents = None
    if run.plan.keeps_latents(family):
        latents = tasks.latents.submit(run.run_id, family, basis.data, models)
    elif models:
        run.board.say(f"  train {family}: images are mirrored at random, so none of their latents are kept")
    return tasks.train.submit(run.run_id, family, basis, models, latents)


def examinations(run: Run, basis: Basis, trained: dict[str, Done], families: list[str]) -> dict[str, Done]:
    """What there is to know of trained families besides their numbers: by stage and family."""
    strange = {
        family: tasks.detectors.submit(run.run_id, family, basis.data)
        for family in families
        if family in run.plan.detects
    }
    for family in families:
        if family in run.plan.used and family not in strange and run.plan.held_out:
            run.board.say(f"  uses {family}: it is told the class of an image, so that none is held out")
    futures = {
        f"study/{family}": tasks.study.submit(run.run_id, family, basis, trained[family])
        for family in run.plan.studied
        if family in families
    }
    for family in families:
        if family in run.plan.used:
            detectors = outcome(strange.get(family))
            if detectors is not None or family not in strange:
                futures[f"uses/{family}"] = tasks.uses.submit(
                    run.run_id, family, basis, trained[family], detectors
                )
    return {name: done for name, future in futures.items() if (done := outcome(future))}


def outcome(future: PrefectFuture[Done] | None) -> Done | None:
    """What a task returned; None if it failed, of which the record tells."""
    if future is None:
        return None
    future.wait()
    return future.result() if future.state.is_completed() else None
