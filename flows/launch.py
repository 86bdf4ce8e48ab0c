"""Run an experiment where its setting `cluster` says, by one of two launchers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from components.cluster.ray_jobs import is_loopback
from components.common.errors import InputError
from components.common.paths import home
from components.config.experiment import Experiment
from components.records.run import RunManifest
from components.store import open_store
from components.store.urls import S3
from flows.launcher import Launch, Launcher

if TYPE_CHECKING:
    from components.store import Store

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


class InProcess:
    """Runs in this process, with workers of this machine or, through Ray's client, of a cluster."""

    def __init__(self, address: str | None = None):
        self.address = address

    def run(self, launch: Launch) -> RunManifest:
        """Run an experiment to its end; return the record of the run."""
        from flows import start  # imports Prefect

        if self.address:
            os.environ["RAY_ADDRESS"] = self.address
        return start.start(
            launch.experiment,
            force=launch.force,
            explain=launch.explain,
            smoke=launch.smoke,
            command=launch.command,
            resume=launch.resume,
        )


def launch(asked: Launch) -> RunManifest:
    """Run an experiment where it is to run; return the record of the run.

    Raises:
        InputError: it cannot be run there, for example since the cluster cannot reach its store.
        RunError: it failed.
    """
    return launcher(asked.experiment).run(asked)


def launcher(experiment: Experiment) -> Launcher:
    """Return the launcher of an experiment."""
    cluster = experiment.cluster
    if cluster is None:
        return InProcess()
    check_reachable("store.url", open_store(experiment.store.url, home()), cluster)
    if cluster.startswith("ray://"):
        return InProcess(cluster)
    if experiment.publish.url:
        check_reachable("publish.url", open_store(experiment.publish.url, home()), cluster)
    from flows.ray_job import AsRayJob  # imports the plan of a run, with PyTorch

    return AsRayJob(cluster)


def check_reachable(setting: str, store: Store, cluster: str) -> None:
    """Raise InputError if only this machine can reach a store, and a cluster is to use it."""
    advice = f"set {setting} to a store that all nodes of {cluster} reach, such as s3://bucket/path"
    if store.is_local or store.protocol == "memory":
        raise InputError(f"{setting}: {store.url} is a folder of this machine; {advice}")
    endpoint = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), "")
    if store.protocol in S3 and endpoint and is_loopback(endpoint) and not is_loopback(cluster):
        raise InputError(
            f"{setting}: {store.url} is at {endpoint}, which is another machine for each node; {advice}"
        )
