"""What a training writes into its attempt."""

from __future__ import annotations

import threading
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import nn

from components.common.errors import RunError
from components.store import Store
from components.store.errors import Unreachable
from components.store.uploader import Uploader
from components.training import checkpoint, posthoc_ema
from components.training.posthoc_ema import PowerFunctionEMAs
from components.training.run_log import RunLog
from tests.training.test_posthoc_ema import same


def test_snapshots_are_files_of_the_attempt(tmp_path: Any) -> None:
    attempt = Store(tmp_path)
    tracks = PowerFunctionEMAs(nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    with Uploader(attempt) as uploader:
        log = RunLog(attempt, uploader, lambda generator: np.zeros(0), 16)
        log.save_tracks((1, 8), posthoc_ema.flat(tracks.parameters))
        assert log.stored_tracks([(1, 4), (1, 8)]) == [(1, 8)]
        assert same(log.load_tracks((1, 8)), posthoc_ema.flat(tracks.parameters))
    assert attempt.list("ema") == ["step-0000008.safetensors"]


def test_superseded_checkpoints_do_not_wait_for_a_store_that_is_away(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, back, write = Store(tmp_path), threading.Event(), Store.write_bytes

    def waits(*arguments: Any) -> None:
        if not back.is_set():
            raise Unreachable("does not answer")
        write(*arguments)

    monkeypatch.setattr(Store, "write_bytes", waits)
    with Uploader(attempt) as uploader:
        log = RunLog(attempt, uploader, lambda generator: np.zeros(0), 20)
        for step in range(1, 21):
            log.save(step, {"control": {"attempt": 1, "healthy": (1, 5)}})  # type: ignore[typeddict-item]
        waiting = [name for name in uploader._queue if name.startswith("checkpoints")]
        back.set()
    assert waiting == [checkpoint.name(step) for step in (5, 19, 20)]
    assert uploader.failed == [] and len(attempt.list("metrics")) == 20


def test_a_killed_worker_costs_two_intervals_at_most_if_an_upload_takes_no_longer_than_one(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, write, every = Store(tmp_path), Store.write_bytes, 100
    begins, ended = threading.Semaphore(0), threading.Semaphore(0)

    def takes_an_interval(store: Store, path: str, data: bytes) -> None:
        if path.startswith("checkpoints"):
            begins.acquire()
        write(store, path, data)
        if path.startswith("checkpoints"):
            ended.release()

    monkeypatch.setattr(Store, "write_bytes", takes_an_interval)
    with Uploader(attempt) as uploader:
        log = RunLog(attempt, uploader, lambda generator: np.zeros(0), 10 * every)
        for step in range(every, 10 * every, every):
            log.save(step, {"control": {"attempt": 1, "healthy": None}})  # type: ignore[typeddict-item]
            if step > every:  # until the next one it does less than two intervals more than was stored
                begins.release()
                assert ended.acquire(timeout=60)
                assert checkpoint.checkpoint_ids(attempt)[-1] == (1, step - every)
        begins.release()


def test_saving_does_not_wait_for_the_store(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old checkpoints are listed and deleted in the background, after the new one is there."""
    attempt, here, listed = Store(tmp_path), threading.current_thread(), Store.list

    def lists(*arguments: Any) -> Any:
        assert threading.current_thread() is not here
        return listed(*arguments)

    with Uploader(attempt) as uploader, monkeypatch.context() as patched:
        patched.setattr(Store, "list", lists)
        log = RunLog(attempt, uploader, lambda generator: np.zeros(0), 5, keep=2)
        for step in range(1, 6):
            log.save(step, {"control": {"attempt": 1, "healthy": None}})  # type: ignore[typeddict-item]
            uploader.flush()
    assert checkpoint.checkpoint_ids(attempt) == [(1, 4), (1, 5)] and uploader.failed == []


def test_reading_back_waits_out_an_outage(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt, read, exists, outage = Store(tmp_path), Store.read_bytes, Store.exists, [1, 1]
    emas = posthoc_ema.flat(PowerFunctionEMAs(nn.Linear(2, 3)).parameters)

    def down_at_first(call: Any) -> Any:
        def answer(*arguments: Any) -> Any:
            if outage:
                outage.pop()
                raise Unreachable("down")
            return call(*arguments)

        return answer

    monkeypatch.setattr("components.store.errors.OUTAGE_PAUSE", 0.0)
    with Uploader(attempt) as uploader:
        log = RunLog(attempt, uploader, lambda generator: np.zeros(0), 16)
        log.save(8, {"control": {"attempt": 1, "healthy": None}})  # type: ignore[typeddict-item]
        log.save_tracks((1, 8), emas)
        uploader.flush()
        monkeypatch.setattr(Store, "read_bytes", down_at_first(read))
        monkeypatch.setattr(Store, "exists", down_at_first(exists))
        assert log.load((1, 8))["control"]["attempt"] == 1 and not outage
        outage += [1, 1]
        assert log.stored_tracks([(1, 8)]) == [(1, 8)] and not outage
        outage += [1, 1]
        assert same(log.load_tracks((1, 8)), emas) and not outage


def test_going_back_to_a_checkpoint_that_was_refused_says_why(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "write_bytes", Mock(side_effect=RunError("no space left")))
    with Uploader(Store(tmp_path)) as uploader:
        log = RunLog(Store(tmp_path), uploader, lambda generator: np.zeros(0), 16)
        log.save(8, {"control": {"attempt": 1, "healthy": None}})  # type: ignore[typeddict-item]
        with pytest.raises(RunError, match="could not be stored: no space left"):
            log.load((1, 8))
