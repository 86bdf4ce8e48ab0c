"""Where a run is to run, and what a cluster could not reach."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from components.common.errors import InputError
from components.store import Store
from flows import launch, setup, start
from flows.launch import InProcess, check_reachable, launcher
from flows.launcher import Launch
from tests.flows.test_setup import QUICKSTART


def experiment(*changes: str) -> Any:
    return setup.experiment(QUICKSTART, ["device=cpu", *changes])


def test_each_address_has_its_launcher(tmp_path: Path) -> None:
    from flows.ray_job import AsRayJob

    store = "store.url=s3://bucket/store"
    here = launcher(experiment(f"store.url={tmp_path}"))
    client = launcher(experiment(store, "cluster=ray://head:10001"))
    job = launcher(experiment(store, "cluster=http://head:8265/"))
    assert isinstance(here, InProcess) and here.address is None
    assert isinstance(client, InProcess) and client.address == "ray://head:10001"
    assert isinstance(job, AsRayJob) and job.address == "http://head:8265"


def test_a_run_of_this_process_joins_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(start, "start", begun := Mock())
    asked = Launch(experiment(), force=["train"], command="atelier run")
    InProcess().run(asked)
    assert "RAY_ADDRESS" not in os.environ and begun.call_args.kwargs["force"] == ["train"]
    monkeypatch.setenv("RAY_ADDRESS", "another")
    InProcess("ray://head:10001").run(asked)
    assert os.environ["RAY_ADDRESS"] == "ray://head:10001"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            ["store.url=output"],
            "store.url: .*output is a folder of this machine; set store.url to a store that",
        ),
        (["store.url=memory://x"], "store.url: memory://x is a folder of this machine"),
        (["publish.url=/somewhere"], "publish.url: /somewhere is a folder of this machine; set publish.url"),
    ],
)
def test_a_store_that_only_this_machine_reaches_is_refused(changes: list[str], match: str) -> None:
    where = ["cluster=http://head:8265", "store.url=s3://bucket/store", *changes]
    with pytest.raises(InputError, match=match):
        launch.launch(Launch(experiment(*where)))


def test_an_object_store_on_loopback_is_for_clusters_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    store = Store("s3://bucket/store")
    check_reachable("store.url", store, "http://127.0.0.1:8265")
    with pytest.raises(
        InputError, match="is at http://127.0.0.1:9000, which is another machine for each node"
    ):
        check_reachable("store.url", store, "ray://head:10001")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example.org")
    check_reachable("store.url", store, "ray://head:10001")
