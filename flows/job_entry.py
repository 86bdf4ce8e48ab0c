"""The command of a Ray job: run the experiment of the folder that ray_job.py has sent to the cluster."""

from __future__ import annotations

import os
import sys
from pathlib import Path

try:
    from components.cluster.ray_jobs import check_same
    from components.common.errors import InputError
    from components.common.paths import home
    from components.config.experiment import Experiment
    from components.records.launch import JobName, JobRequest
    from components.records.run import RunHead
    from components.registry.runs import read_record
    from components.store import open_store
    from flows.cli.app import exit_with
    from flows.ray_job import REQUEST, versions
    from flows.signals import stop_on_signals
except ModuleNotFoundError as missing:  # a cluster has its own Python
    print(
        f"atelier: {sys.executable} on the cluster has no {missing.name}; start Ray there with a Python in "
        "PATH that has the packages of requirements/run.txt",
        file=sys.stderr,
    )
    sys.exit(2)


def run() -> int:
    """Run the experiment of this job; return 0 if it is done, 1 if parts of it failed.

    Raises:
        InputError: this cluster cannot run it: other versions, or another store under the same URL.
        RunError: it failed.
    """
    from flows import start

    request = JobRequest.model_validate_json(Path(REQUEST).read_text())
    job = JobName.model_validate_json(os.environ["ATELIER_LAUNCH"])
    experiment = Experiment.model_validate(request.experiment)
    for what, version in request.versions.items():
        check_same(what, versions()[what], version, experiment.cluster or "")
    store = open_store(experiment.store.url, home())
    store.check()
    if not store.exists(f"launches/{job.key}/{job.number}.json"):
        raise InputError(
            f"{store.url} is another store for the cluster than for the machine that submitted the job; "
            "compare AWS_ENDPOINT_URL and the credentials of the two"
        )
    begun = read_record(store, job.run_id, RunHead) is not None
    record = start.start(
        experiment,
        force=request.force,
        explain=request.explain,
        smoke=request.smoke,
        command=request.command,
        resume=job.run_id if begun else None,
        run_id=job.run_id,
        version=request.version,
    )
    return 0 if record.status == "done" else 1


if __name__ == "__main__":
    stop_on_signals(command=True)
    exit_with(run)
