"""Runs as Ray jobs: which is submitted, followed or replaced, as the store decides; without a cluster."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from components.cluster.ray_jobs import Job
from components.common.errors import InputError, RunError
from components.records.run import RunHead, RunManifest
from components.store import Store, numbered
from flows import ray_job, setup
from flows.launcher import Launch
from flows.ray_job import AsRayJob, Attempt, check_notify, next_step, outcome, request_folder
from tests.flows.test_setup import QUICKSTART

ATTEMPT = Attempt(1, "atelier-k-a1", "r")
RUNNING = RunHead(run_id="r")
FAILED = RunHead(run_id="r", status="failed", ended="2026-01-01T00:00:00+00:00")
DONE = RunHead(run_id="r", status="done", ended="2026-01-01T00:00:00+00:00")


@pytest.mark.parametrize(
    ("run", "state", "expected"),
    [
        (None, None, "submit"),  # the client died before its submission
        (None, "PENDING", "follow"),
        (None, "RUNNING", "follow"),
        (RUNNING, "RUNNING", "follow"),
        (RUNNING, None, "submit"),  # of a cluster that is gone: the run's lease keeps it from running twice
        (RUNNING, "FAILED", "next"),
        (RUNNING, "SUCCEEDED", "next"),  # what Ray says without a record counts for nothing
        (None, "SUCCEEDED", "next"),
        (FAILED, "RUNNING", "next"),
        (FAILED, None, "next"),
        (DONE, "FAILED", "show"),  # nor what it says against one
        (DONE, "RUNNING", "show"),
        (DONE, None, "show"),
    ],
)
def test_the_store_decides_what_becomes_of_a_job(
    run: RunHead | None, state: str | None, expected: str
) -> None:
    job = Job(ATTEMPT.job, state) if state else None
    assert next_step(ATTEMPT, run, job, forced=False) == expected


def test_a_first_job_a_forced_one_and_one_whose_submission_was_lost() -> None:
    assert next_step(None, None, None, forced=False) == "next"
    assert next_step(ATTEMPT, DONE, None, forced=True) == "next"
    lost = Job(ATTEMPT.job, "PENDING", age=ray_job.PENDING_SECONDS + 1)
    assert next_step(ATTEMPT, None, lost, forced=False) == "next"


class Cluster:
    """A cluster that accepts jobs, and knows those that it is given."""

    def __init__(self, **jobs: str):
        self.jobs = {
            name.replace("_", "-"): Job(name.replace("_", "-"), state) for name, state in jobs.items()
        }
        self.stopped: list[str] = []
        self.environment: Mapping[str, str] = {}

    def find(self, name: str) -> Job | None:
        return self.jobs.get(name)

    def list(self, prefix: str) -> list[Job]:
        return [job for name, job in self.jobs.items() if name.startswith(prefix)]

    def submit(self, name: str, command: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.jobs[name], self.environment = Job(name, "PENDING"), environment

    def stop(self, name: str) -> None:
        self.stopped.append(name)


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., Attempt]:
    store = Store(tmp_path / "store")

    def call(cluster: Cluster, **changes: Any) -> Attempt:
        launch: Any = dataclasses.replace(Launch(Mock()), **changes)
        jobs: Any = cluster
        return AsRayJob("http://head:8265").begin(jobs, store, "k", tmp_path, launch, Mock())

    return call


def test_a_client_that_comes_back_follows_its_job(begin: Callable[..., Attempt], tmp_path: Path) -> None:
    cluster = Cluster()
    first = begin(cluster)
    assert (first.number, first.job) == (1, "atelier-k-a1") and list(cluster.jobs) == [first.job]
    sent = json.loads(cluster.environment["ATELIER_LAUNCH"])
    assert sent == {"key": "k", "number": 1, "run_id": first.run_id}
    assert begin(cluster) == first and list(cluster.jobs) == [first.job]
    assert begin(Cluster()) == first, (
        "submitted again to a cluster that does not know it, under the same name"
    )
    store = Store(tmp_path / "store")
    store.write_json(f"runs/{first.run_id}/run.json", RunManifest(run_id=first.run_id).to_json())
    after = begin(Cluster(atelier_k_a1="FAILED"))
    assert (after.number, after.run_id) == (2, first.run_id), "the same run goes on in the next job"
    assert numbered.numbers(store.child("launches", "k")) == [1, 2]


def test_a_run_that_failed_is_followed_by_another(begin: Callable[..., Attempt], tmp_path: Path) -> None:
    first = begin(Cluster(), resume="20260101-000000-aaaa")
    assert first.run_id == "20260101-000000-aaaa", "a sweep that is resumed keeps its run"
    record = RunManifest(run_id=first.run_id, status="failed", ended="2026-01-01T00:00:00+00:00")
    Store(tmp_path / "store").write_json(f"runs/{first.run_id}/run.json", record.to_json())
    second = begin(Cluster(atelier_k_a1="RUNNING"))
    assert second.number == 2 and second.run_id != first.run_id


def test_jobs_that_were_given_up_are_stopped(
    begin: Callable[..., Attempt], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_job, "PENDING_SECONDS", -1.0)
    cluster = Cluster()
    begin(cluster)
    monkeypatch.setattr(cluster, "submit", lambda *_: None)
    assert begin(cluster).number == 2 and cluster.stopped == ["atelier-k-a1"]


def test_the_record_of_a_run_counts_and_not_what_ray_says() -> None:
    end = "2026-01-01T00:00:00+00:00"
    done = RunManifest(run_id="r", status="done", ended=end)
    assert outcome(done, Job("x", "FAILED", exit_code=1), ATTEMPT) is done
    refused = RunManifest(run_id="r", status="failed", ended=end, error="captions need the extra text")
    with pytest.raises(InputError, match="captions need the extra text"):
        outcome(refused, Job("x", "FAILED", exit_code=2), ATTEMPT)
    with pytest.raises(RunError, match="captions need"):
        outcome(refused, None, ATTEMPT)
    message = (
        "Job entrypoint command failed with exit code 2, last logs:\nx\natelier: s3://b does not answer\n"
    )
    with pytest.raises(InputError, match="^s3://b does not answer"):
        outcome(None, Job("x", "FAILED", exit_code=2, message=message), ATTEMPT)
    for job, words in (
        (Job("x", "SUCCEEDED"), "is SUCCEEDED"),
        (None, "is not known to the cluster any more"),
    ):
        with pytest.raises(RunError, match=f"job atelier-k-a1 {words}.*run the same command to continue"):
            outcome(RunManifest(run_id="r"), job, ATTEMPT)


def test_what_a_job_gets_and_what_its_name_depends_on(tmp_path: Path) -> None:
    def key(*changes: str, **launch: Any) -> str:
        experiment = setup.experiment(QUICKSTART, ["device=cpu", *changes])
        with request_folder(Launch(experiment, **launch), "v.dir", Store("s3://b/store")) as (folder, key):
            assert (folder / "flows" / "job_entry.py").exists() and not list(folder.rglob("__pycache__"))
            request = json.loads((folder / "launch.json").read_text())
        assert request["version"] == "v.dir" and set(request["versions"]) == {"Python", "Ray", "PyTorch"}
        return key

    plain = key()
    assert key("cluster=http://head:8265", command="atelier run", explain=True) == plain
    others = [key("train.seed=7"), key(smoke=True), key(force=["train"]), key(resume="r")]
    assert len({plain, *others}) == 5


def test_a_url_that_may_hold_a_token_does_not_travel_with_a_job() -> None:
    check_notify(["$NOTIFY"])
    with pytest.raises(InputError, match=r"notify: all who reach the cluster .* here: \$NAME") as error:
        check_notify(["$NOTIFY", "slack://secret-a/secret-b/secret-c"])
    assert "secret" not in str(error.value)
