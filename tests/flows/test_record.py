"""What a manifest may say."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from components.common.errors import InputError
from components.common.public import public
from components.records.run import RunManifest
from components.store import Store
from components.store.errors import Unreachable
from flows import record
from flows.record import redacted
from tests.flows.test_setup import QUICKSTART


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("s3://key:secret@bucket/path", "s3://bucket/path"),
        ("store.url=ftp://me:pw@host/x", "store.url=ftp://host/x"),
        ("/home/me/stores/one", "one"),
        ("store.url=/tmp/x/store", "store.url=store"),
        ("file:///home/me/store", "store"),
        ("output", "output"),
        ("s3://bucket/a/b", "s3://bucket/a/b"),
    ],
)
def test_no_credentials_and_no_folders_of_this_machine(said: str, shown: str) -> None:
    assert public(said) == shown


def test_redacted_keeps_everything_else() -> None:
    from flows import setup

    changes = ["store.url=/a/b/c", "publish.url=s3://k:s@bucket/x", "evaluate.inception_path=/me/weights.pth"]
    experiment = setup.experiment(QUICKSTART, changes)
    shown = redacted(experiment)
    assert (shown["store"]["url"], shown["publish"]["url"]) == ("c", "s3://bucket/x")
    assert shown["evaluate"]["inception_path"] is None
    assert shown["families"] == experiment.families


def test_a_heart_beats_on_after_a_write_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "HEARTBEATS", 800)
    made = record.Record(Store(tmp_path), RunManifest(run_id="r"))
    write = Mock(side_effect=[Unreachable("does not answer"), None, None])
    monkeypatch.setattr(made, "write", write)
    while write.call_count < 3:
        made._ended.wait(0.01)
        assert made._thread.is_alive()
    monkeypatch.undo()
    made.finish("done")


def test_a_run_whose_heart_beats_is_not_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "HEARTBEATS", 40)
    monkeypatch.setattr(record, "POLL", 0.1)
    store = Store(tmp_path)
    alive = record.Record(store, RunManifest(run_id="r"))
    with pytest.raises(InputError, match="run r is running in another process"):
        record.refuse_running(store, "r")
    alive.finish("interrupted")
    record.refuse_running(store, "r")


def test_a_killed_run_is_resumed_once_its_heart_has_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "lease_seconds", lambda: 0.3)
    monkeypatch.setattr(record, "POLL", 0.1)
    store = Store(tmp_path)
    killed = RunManifest(run_id="r", heartbeat=record.now())
    store.write_json("runs/r/run.json", killed.to_json())
    assert killed.standing == "running"
    record.refuse_running(store, "r")
