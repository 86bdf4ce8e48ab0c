"""The flow that Prefect schedules and deployments call."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from components.common.errors import RunError
from components.common.paths import config_path
from flows import start, sweep_setup


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
