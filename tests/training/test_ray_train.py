"""A training under Ray Train, without Ray."""

from __future__ import annotations

import os
import signal
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.cluster.ray_cluster import ENVIRONMENT, PREEMPTION_WATCHER, WORKERS_START
from components.common.errors import Diverged
from components.records.names import RESULT
from components.store import Store
from components.training import ray_train
from components.training.ray_train import ELASTIC_START, ERROR
from components.training.request import TrainRequest
from tests import tiny
from tests.flows.driver import until

YESTERDAY = {"error": "the loss was not finite", "diverged": True}


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Train with a worker that does what it is given."""
    monkeypatch.setenv(WORKERS_START, ENVIRONMENT[WORKERS_START])
    from components.cluster import ray_private as of_clusters
    from components.training import ray_private

    monkeypatch.setattr(ray_train, "connect", lambda: None)
    monkeypatch.setattr(ray_train, "check_resources", lambda *_: None)
    monkeypatch.setattr(of_clusters, "has_dashboard", lambda: False)

    def call(worker: Any, workers: Any = 2) -> None:
        train = tiny.settings(workers=workers).model_dump(mode="json")
        job = TrainRequest("vae", tiny.CONFIGS["vae"], train, "data", "attempt", Store(tmp_path))
        monkeypatch.setattr(ray_private, "Trainer", lambda *_, **__: SimpleNamespace(fit=worker))
        ray_train.fit(job, "name")

    return call


def test_an_error_of_yesterday_does_not_fail_a_training(tmp_path: Path, fit: Any) -> None:
    attempt = Store(tmp_path).child("attempt")
    attempt.write_json(ERROR, YESTERDAY)
    fit(lambda: attempt.write_json(RESULT, {}))
    fit(lambda: attempt.write_json(ERROR, YESTERDAY))  # the result counts


def test_an_error_of_today_fails_it_once(tmp_path: Path, fit: Any) -> None:
    attempt = Store(tmp_path).child("attempt")
    with pytest.raises(Diverged, match="not finite"):
        fit(lambda: attempt.write_json(ERROR, YESTERDAY))
    fit(lambda: None)


def test_elastic_workers_do_not_wait_an_hour_for_a_node_that_is_lost(
    fit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds: list[str] = []
    note = lambda: seconds.append(os.environ[WORKERS_START])  # noqa: E731 - when Ray reads it
    fit(note)
    fit(note, workers=(1, 2))
    monkeypatch.setenv(WORKERS_START, "300")  # of the person who runs this
    fit(note, workers=(1, 2))
    assert seconds == ["3600", ELASTIC_START, "300"]


def test_sigterm_is_a_notice_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one ends the worker, and so does the end of the time that the first one leaves."""
    ended: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    monkeypatch.setattr(ray_train, "GRACE", 0.05)
    try:
        ray_train.expect_termination()
        signal.raise_signal(signal.SIGTERM)
        assert ray_train.terminated.is_set() and not ended
        until(lambda: ended, 60)
    finally:
        signal.signal(signal.SIGTERM, before)
        ray_train.terminated.clear()


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call a worker's function with a training that asks whether it is to end, and reports once."""
    context = SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 1)
    monkeypatch.setattr("ray.train.get_context", lambda: context)
    monkeypatch.setattr("ray.train.torch.get_device", lambda: "cpu")
    monkeypatch.setattr(ray_train, "in_main_thread", lambda function: None)
    reports: list[Any] = []
    monkeypatch.setattr("ray.train.report", reports.append)

    def call() -> tuple[bool, list[Any]]:
        asked: list[bool] = []

        def fit(job: TrainRequest, group: Any, report: Any, leaving: Any) -> None:
            asked.append(leaving())
            report(3, {"loss": 1.0}, "checkpoint")

        monkeypatch.setattr(ray_train.training_job, "fit", fit)
        train = tiny.settings(workers=1).model_dump(mode="json")
        ray_train._worker(asdict(TrainRequest("vae", {}, train, "data", "attempt", Store(tmp_path))))
        return asked[0], reports

    return call


def test_rays_notice_of_a_reclaimed_node_asks_for_a_checkpoint(
    worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PREEMPTION_WATCHER, "1")
    monkeypatch.setattr("ray.train.get_preemption_info", lambda: None)
    assert worker()[0] is False
    monkeypatch.setattr("ray.train.get_preemption_info", lambda: "in 30 s")
    leaving, reports = worker()
    assert leaving is True and reports, "training goes on"
    monkeypatch.setenv(PREEMPTION_WATCHER, "0")
    assert worker()[0] is False, "no one watches a cluster of this machine's own"


def test_a_worker_that_was_sent_sigterm_ends_after_its_checkpoint(
    worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    monkeypatch.setattr("ray.train.get_preemption_info", lambda: None)
    monkeypatch.setattr(ray_train.os, "kill", lambda pid, number: killed.append(number))
    ray_train.terminated.set()
    try:
        assert worker()[0] is True and killed == [signal.SIGTERM]
    finally:
        ray_train.terminated.clear()
