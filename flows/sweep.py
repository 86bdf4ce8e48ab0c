"""The pipeline of a sweep: trials, finalists, and the winner's confirmation with all training steps."""

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
from flows.errors import public_to_prefect
from flows.pipeline import run_data_stages, run_family_stages, run_final_stages
from flows.run import RUNS, Run
from flows.tasks import TASKS


@flow(
    name="atelier-sweep", flow_run_name="{run_id}", retries=0, persist_result=False, validate_parameters=False
)
@public_to_prefect()
def sweep(run_id: str, experiment: Mapping[str, Any]) -> str:
    """Run the sweep of an experiment; return done, partial or failed.

    The families that the swept family builds on are trained first. If only sampling settings are searched,
    the swept family is trained with the experiment's settings and published, and the winner holds the
    settings to sample with. Otherwise the winner replaces the experiment's settings: the published, displayed
    and compared results are those of its ordinary stages, cached as in any run.
    """
    run = RUNS[run_id]
    ray_cluster.connect()  # the number of trials at once depends on the cluster
    run_data_stages(run)
    family, sampling = run.experiment.swept, samples_only(run.plan)
    upstream = [other for other in run.experiment.families if other != family or sampling]
    run_family_stages(run, upstream)
    if missing := [other for other in upstream if f"train/{other}" not in run.results]:
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
    """Replace the experiment's settings with the winner's."""
    run.plan = confirmation.contender(run.plan, family, winner, confirmation.confirmation_seeds(run.plan)[0])
    run.experiment = run.plan.experiment
