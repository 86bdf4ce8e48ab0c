"""The pipeline of a sweep: trials, finalists, the winner with all training steps against the own settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect import flow

from components.cluster import ray_cluster
from components.common.errors import RunError
from components.pipeline import confirmation
from components.pipeline.sweep import samples_only
from components.records.sweep import SweepResult, Winner
from components.stages import cache
from flows.pipeline import run_data_stages, run_family_stages, run_final_stages
from flows.run import RUNS, Run
from flows.tasks import TASKS


@flow(
    name="atelier-sweep", flow_run_name="{run_id}", retries=0, persist_result=False, validate_parameters=False
)
def sweep(run_id: str, experiment: Mapping[str, Any]) -> str:
    """Run the sweep of an experiment; returns done, partial or failed.

    What the swept family builds on is trained first, and the family itself where nothing but its sampling is
    searched: then the model is what is published, as the experiment has it, and the winner is what to sample
    with. Else the winner takes the place of the experiment's own settings: what is published, shown and
    compared with other runs are its ordinary stages, cached like any other's.
    """
    run = RUNS[run_id]
    ray_cluster.connect()  # before the plan says so: how many trials fit is a question to the cluster
    run_data_stages(run)
    family, sampling = run.experiment.swept, samples_only(run.plan)
    below = [other for other in run.experiment.families if other != family or sampling]
    run_family_stages(run, below)
    if missing := [other for other in below if f"train/{other}" not in run.results]:
        reason = run.failed.get(missing[0])
        raise RunError(f"the sweep needs {missing[0]}, which could not be trained: {reason}")
    if not sampling:
        run_family_stages(run, [family], only=["latents"])
    search = TASKS["sweep"](run_id, family, dict(run.results))
    winner = SweepResult.model_validate(cache.read(run.store, search)["swept"]).winner
    assert winner is not None, "a sweep without a winner fails"
    if run.plan.experiment.sweep and run.plan.experiment.sweep.confirmation_seeds:
        spec = confirmation.spec(run.plan, family, search.key, winner)
        TASKS["confirmation"](run_id, family, dict(run.results), spec)
    if not sampling:
        adopt(run, family, winner)
        run_family_stages(run, list(run.experiment.families))
    return run_final_stages(run)


def adopt(run: Run, family: str, winner: Winner) -> None:
    """Continue with the winner's settings in place of the experiment's own."""
    run.plan = confirmation.contender(run.plan, family, winner, confirmation.confirmation_seeds(run.plan)[0])
    run.experiment = run.plan.experiment
