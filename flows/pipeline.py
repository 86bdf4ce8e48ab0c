"""The pipeline: data, families side by side, judging, comparing, exporting, the page, publishing."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.futures import PrefectFuture, as_completed

from components import launch
from components.stages import Done
from components.work import Basis
from flows import tasks
from flows.run import RUNS
from flows.signals import stop_on_signals


@flow(name="atelier", flow_run_name="{run_id}", retries=0, persist_result=False, validate_parameters=False)
def pipeline(run_id: str, experiment: dict[str, Any]) -> str:
    """Run the experiment; returns done, partial or failed.

    The task runner has as many threads as trainings fit side by side, and starts tasks in the order they are
    submitted: the first family, which should be the longest, keeps its cores throughout while the others
    take turns on the rest.
    """
    run, families = RUNS[run_id], list(experiment["families"])
    data = tasks.prepare(run_id)
    if run.has_jobs():
        launch.connect()
    stop_on_signals()  # once more: Prefect and Ray have put handlers of their own in place
    extractor = tasks.extractor(run_id, data)
    reference = tasks.reference(run_id, data, extractor)
    captions = tasks.captions(run_id, data) if run.plan.captions else None
    basis = Basis(data, extractor, reference, captions)
    trainings = {tasks.train.submit(run_id, family, basis): family for family in families}

    trained, evaluations = {}, {}
    for future in as_completed(list(trainings)):
        family = trainings[future]
        if done := outcome(future):
            trained[family] = done
            evaluations[family] = tasks.evaluate.submit(run_id, family, basis, done)
    evaluated = {family: done for family in families if (done := outcome(evaluations.get(family)))}
    exported = {
        family: done
        for family in evaluated
        if (done := outcome(tasks.export.submit(run_id, family, data, trained[family], evaluated[family])))
    }
    studies = {
        family: tasks.study.submit(run_id, family, basis, trained[family])
        for family in run.plan.studied
        if family in evaluated
    }
    studied = {family: done for family, future in studies.items() if (done := outcome(future))}

    for family in families:
        if family not in exported:
            run.failed.setdefault(family, "a stage it depends on failed")

    compared = tasks.compare(run_id, trained, evaluated)
    reported = tasks.report(run_id, compared, studied)
    if exported:
        tasks.publish(run_id, reported, exported)
    return "failed" if not exported else "partial" if run.failed else "done"


def outcome(future: PrefectFuture[Done] | None) -> Done | None:
    """What a task returned; None if it failed, of which the record tells."""
    if future is None:
        return None
    future.wait()
    return future.result() if future.state.is_completed() else None
