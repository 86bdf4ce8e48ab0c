"""One Prefect task a stage.

In and out go small references; the store's keys, not Prefect's cache, say what is done.

Nothing retries here: workers are restarted by Ray, the object store's errors are retried in the storage
module, and bad input would fail again.
"""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from components.common.paths import home
from components.data import local
from components.data.card import DataCard
from components.pipeline import work
from components.pipeline.plan import Plan, check, lpips_file
from components.pipeline.work import Basis
from components.stages.cache import Done
from components.store import Store, open_store
from flows.run import RUNS

OPTIONS: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "retries": 0,
    "persist_result": False,
    "log_prints": False,
}


@task(name="prepare", **OPTIONS)
def prepare(run_id: str) -> Done:
    """The data, prepared, versioned, and in the store."""
    run = RUNS[run_id]
    snapshot, version = local.data_version(home(), run.experiment.data.name, run.experiment.data.revision)
    run.plan = Plan.of(run.experiment, version, DataCard.read(snapshot), run.store)
    run.record.data(run.plan)
    check(run.plan, run.store)
    return run.stage(run.plan.prepare, lambda attempt, _: work.prepare(run.store, attempt, snapshot))


@task(name="extractor", **OPTIONS)
def extractor(run_id: str, data: Done) -> Done:
    """What images are seen through: the pinned one, or a new one, which is pinned."""
    run = RUNS[run_id]

    def make(plan: Plan) -> Done:
        settings = plan.evaluate_settings
        return run.stage(
            plan.extractor, lambda attempt, _: work.extractor(run.store, attempt, data, settings)
        )

    run.plan, done = work.settled(run.store, run.plan, make)
    return done


@task(name="reference", **OPTIONS)
def reference(run_id: str, data: Done, extractor: Done) -> Done:
    """The real images as the extractor sees them, and the floors."""
    run = RUNS[run_id]
    spec, counts = run.plan.reference, run.plan.card.counts
    arguments = (data, extractor, counts, dict(spec.settings))
    return run.stage(spec, lambda attempt, _: work.reference(run.store, attempt, *arguments))


@task(name="captions", **OPTIONS)
def captions(run_id: str, data: Done) -> Done:
    """The captions, encoded, for the families that are told them."""
    run = RUNS[run_id]
    spec = run.plan.captions
    assert spec is not None
    return run.stage(spec, lambda attempt, _: work.captions(run.store, attempt, data))


@task(name="latents", task_run_name="latents {family}", **OPTIONS)
def latents(run_id: str, family: str, data: Done, models: dict[str, Done]) -> Done:
    """The images as one of the models that a family builds on encodes them."""
    run = RUNS[run_id]
    plan, spec = run.plan, run.plan.latents(family)
    arguments = (data, models[plan.encoder(family)], plan.card.counts, spec.settings["threads"], plan.device)
    return run.stage(spec, lambda attempt, _: work.latents(run.store, attempt, *arguments))


@task(name="train", task_run_name="train {family}", **OPTIONS)
def train(
    run_id: str, family: str, basis: Basis, models: dict[str, Done], latents: Done | None = None
) -> Done:
    """A family, trained under Ray Train on the models it builds on."""
    run = RUNS[run_id]
    plan, spec = run.plan, run.plan.train(family)
    block = dict(plan.experiment.families[family])
    settings = block.pop("train")

    def body(attempt: Store, number: int) -> dict[str, Any]:
        with run.watching(spec, attempt):
            return work.train(
                run.store,
                attempt,
                number,
                basis,
                family,
                spec.key,
                models=models,
                latents=latents,
                config=block,
                train=settings,
                device=plan.device,
                flips=plan.experiment.data.flips,
            )

    return run.stage(spec, body)


@task(name="evaluate", task_run_name="evaluate {family}", **OPTIONS)
def evaluate(run_id: str, family: str, basis: Basis, trained: Done) -> Done:
    """A family's numbers."""
    run = RUNS[run_id]
    spec = run.plan.evaluate(family)
    settings = dict(spec.settings) | {"lpips": lpips_file(run.experiment.evaluate.lpips_path)}
    arguments = (basis, trained, family, settings, spec.device)
    done = run.stage(spec, lambda attempt, _: work.evaluate(run.store, attempt, *arguments))
    run.record.result(work.result(run.store, trained, done, family))
    if done.state == "ran":
        run.show()
    return done


@task(name="study", task_run_name="study {family}", **OPTIONS)
def study(run_id: str, family: str, basis: Basis, trained: Done) -> Done:
    """What other settings of sampling do to a family's images."""
    run = RUNS[run_id]
    spec = run.plan.study(family)
    arguments = (basis, trained, family, spec.settings, spec.device)
    return run.stage(spec, lambda attempt, _: work.study(run.store, attempt, *arguments))


@task(name="detectors", task_run_name="detectors {family}", **OPTIONS)
def detectors(run_id: str, family: str, data: Done) -> Done:
    """Models of a family that have not seen a class, for each class that is held out."""
    run = RUNS[run_id]
    plan, spec = run.plan, run.plan.detectors(family)
    settings = plan.detecting(family)

    def body(attempt: Store, _: int) -> dict[str, Any]:
        return work.detectors(
            run.store,
            attempt,
            data,
            family,
            plan.held_out,
            threads=settings.threads,
            config=plan.own(family),
            train=settings.model_dump(),
            device=plan.device,
            flips=plan.experiment.data.flips,
        )

    return run.stage(spec, body)


@task(name="uses", task_run_name="uses {family}", **OPTIONS)
def uses(run_id: str, family: str, basis: Basis, trained: Done, detectors: Done | None) -> Done:
    """What a family's codes are good for."""
    run = RUNS[run_id]
    spec = run.plan.uses(family)
    arguments = (basis, trained, detectors, spec.settings, spec.device)
    return run.stage(spec, lambda attempt, _: work.uses(run.store, attempt, *arguments))


@task(name="export", task_run_name="export {family}", **OPTIONS)
def export(run_id: str, family: str, data: Done, trained: Done, evaluated: Done) -> Done:
    """A family's model, ready to be given out."""
    run = RUNS[run_id]
    spec = run.plan.export(family)
    return run.stage(
        spec, lambda attempt, _: work.export(run.store, attempt, data, trained, evaluated, family)
    )


@task(name="compare", **OPTIONS)
def compare(run_id: str, trained: dict[str, Done], evaluated: dict[str, Done]) -> Done:
    """The table of all families."""
    run = RUNS[run_id]
    spec = run.plan.compare({family: done.key for family, done in evaluated.items()})
    done = run.stage(spec, lambda attempt, _: work.compare(run.store, trained, evaluated))
    compared = run.store.read_json(f"{done.uri}/result.json")
    run.record.update(results=compared["results"], table=compared["table"])
    if compared["table"]:
        rows = [{"family": row["family"], **row["quality"], **row["speed"]} for row in compared["table"]]
        create_table_artifact(rows, key="results", description=f"Run {run_id}")
    return done


@task(name="report", **OPTIONS)
def report(run_id: str, compared: Done, examined: dict[str, Done]) -> Done:
    """The page of the run."""
    run = RUNS[run_id]
    spec = run.plan.report(compared.key, run.failed, {name: done.key for name, done in examined.items()})
    run.record.update(status="partial" if run.failed else "done")
    done = run.stage(spec, lambda attempt, _: work.report(run.store, run_id))
    page = run.store.read_json(f"{done.uri}/result.json")["page"]
    run.record.update(report=page)
    create_link_artifact(link=f"{run.store.url}/{page}", key="page", link_text=f"Report of run {run_id}")
    return done


@task(name="publish", **OPTIONS)
def publish(run_id: str, reported: Done, exported: dict[str, Done]) -> Done:
    """Models, samples and pages, where others find them."""
    run = RUNS[run_id]
    url = run.plan.experiment.publish.url
    target = open_store(url, home()) if url else run.store.child("published")
    spec = run.plan.publish(reported.key, {family: done.key for family, done in exported.items()})

    def body(attempt: Store, number: int) -> dict[str, Any]:
        page = run.store.read_json(f"{reported.uri}/result.json")["page"]
        record = run.record.content
        return work.publish(run.store, target, run_id, page, exported, record) | (
            {} if url else {"elsewhere": [f"published/{run_id}/manifest.json"]}
        )

    done = run.stage(spec, body)
    run.record.update(published=run.store.read_json(f"{done.uri}/result.json")["published"])
    return done
