"""The flows that Prefect schedules and deployments call."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from components.common.errors import RunError
from components.common.paths import config_path, home
from components.store import open_store
from flows import decide, start, sweep_setup


@flow(name="atelier-sweep-of-config", flow_run_name="{config}", retries=0, persist_result=False)
def scheduled(config: str, changes: list[str] | None = None) -> str:
    """Run the sweep of a config file from a Prefect deployment or schedule; return the run id.

    Args:
        config: a YAML file, relative to the project or absolute.
        changes: changes of settings, such as sweep.trials=32.

    Raises:
        InputError: the config or a change is not accepted.
        RunError: the run of the sweep is not done.
    """
    experiment = sweep_setup.from_file(config_path(Path(config)), changes or [])
    record = start.start(experiment, command=f"scheduled sweep of {config}")
    if record.status != "done":
        raise RunError(f"the sweep of {config} ended with status {record.status}; see run {record.run_id}")
    return str(record.run_id)


@flow(name="atelier-decide", flow_run_name="{verdict} {run}/{family}", retries=0, persist_result=False)
def decided(
    run: str,
    family: str,
    verdict: decide.Verdict,
    reason: str,
    override: bool = False,
    store: str = "output",
) -> str:
    """Promote or reject a result that the gate has judged; return the decision.

    Prefect shows the parameters as a form. The entry names the account that serves the deployment, or
    ATELIER_USER.

    Args:
        run: a run id, or latest.
        family: a family of the run.
        verdict: promote or reject.
        reason: why; the history keeps it.
        override: promote it although the gate has not blessed it, which the history shows for ever.
        store: a folder, relative to the project, or any fsspec URL.

    Raises:
        InputError: the result cannot be promoted or rejected.
    """
    opened = open_store(store, home())
    return decide.described(decide.decide(opened, run, family, verdict, reason, override=override))
