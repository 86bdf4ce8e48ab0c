"""A sweep on a cluster of several nodes without a shared disk: it tunes, trains on both and evaluates."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.store import Store
from tests.flows.driver import SWEEP, Atelier, until
from tests.nodes import Nodes, nodes
from tests.s3 import Server

pytestmark = [pytest.mark.pipeline, pytest.mark.s3, pytest.mark.slow, pytest.mark.timeout(900)]

SMALL: dict[str, Any] = SWEEP | {
    "device": "cpu",
    "train": SWEEP["train"] | {"workers": 2, "micro_batches": 2, "steps": 8, "snapshot_samples": 0},
    "evaluate": SWEEP["evaluate"] | {"held_out_classes": [], "latent_analysis": False},
    "sweep": SWEEP["sweep"]
    | {"search": {"beta1": [0.0, 0.5]}, "trials": 1, "steps": 4, "evaluations": 2, "scheduler": "none"}
    | {"workers": 2, "finalists": 1, "seeds_per_finalist": 1, "confirmation_seeds": 0},
}


@pytest.fixture
def cluster(s3_env: Server) -> Iterator[Nodes]:
    with (
        tempfile.TemporaryDirectory(prefix="nodes-", dir="/tmp", ignore_cleanup_errors=True) as folder,
        nodes(Path(folder), s3_env.environment) as started,
    ):
        yield started


def test_a_sweep_outlives_its_client_and_runs_once(
    cluster: Nodes, bucket: str, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers of its trial, on both nodes, run from one evaluation to the next."""
    store = Store(f"s3://{bucket}/store")
    config = tmp_path / "sweep.yaml"
    config.write_text(yaml.safe_dump(SMALL | {"store": {"url": store.url}, "cluster": cluster.jobs}))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    atelier, command = Atelier(tmp_path), ("sweep", str(config), "--json")

    client = subprocess.Popen(atelier.command(*command), stderr=subprocess.PIPE)
    until(lambda: store.list("runs") or client.poll() is not None, seconds=400, pause=0.5)
    assert client.poll() is None, client.stderr and client.stderr.read().decode()[-3000:]
    client.send_signal(signal.SIGKILL)
    client.wait()

    done = atelier.outside(*command)
    assert "followed" in done.stderr or "has finished" in done.stderr, done.stderr
    result = json.loads(done.stdout)
    assert result["status"] == "done" and store.list("runs") == [result["run_id"]]
    (key,) = store.list("launches")
    assert store.list(f"launches/{key}") == ["1.json"], "one job"
    (trial,) = result["sweep"]["trials"]
    assert trial["state"] == "done" and len(trial["curve"]) == 2
    assert result["sweep"]["settings"]["concurrent"] == 1, "a trial takes both nodes"
    stages = {stage["name"]: stage for stage in store.read_json(result["manifest"])["stages"]}
    for name in ("train", "evaluate", "publish"):
        attempts = store.list(f"{stages[name]['uri'].partition('/attempts')[0]}/attempts")
        assert stages[name]["state"] == "ran" and attempts == ["1"], name

    copies = {name: len(mirrors) for name, mirrors in cluster.caches().items()}
    assert copies == {"head": 1, "worker0": 1, "worker1": 1}, "the data reaches each node once"
    assert not (tmp_path / "cache").exists(), "what the client does needs none of it"

    again = atelier.call(*command)
    assert "has finished" in again.stderr
    assert json.loads(again.stdout)["run_id"] == result["run_id"]
