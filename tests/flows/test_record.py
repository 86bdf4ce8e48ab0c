"""What a manifest may say."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import pytest

from components.common.errors import InputError, RunError
from components.common.public import public
from components.records.run import RunManifest
from components.store import Store
from components.store.errors import Unreachable
from components.store.lease import Lease
from flows import record
from flows.record import redacted
from tests.flows.test_setup import QUICKSTART


@pytest.mark.parametrize(
    ("text", "output"),
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
def test_no_credentials_and_no_folders_of_this_machine(text: str, output: str) -> None:
    assert public(text) == output


def test_redacted_keeps_everything_else() -> None:
    from flows import setup

    changes = ["store.url=/a/b/c", "publish.url=s3://k:s@bucket/x", "evaluate.inception_path=/me/weights.pth"]
    experiment = setup.experiment(QUICKSTART, changes)
    result = redacted(experiment)
    assert (result["store"]["url"], result["publish"]["url"]) == ("c", "s3://bucket/x")
    assert result["evaluate"]["inception_path"] is None
    assert result["families"] == experiment.families


def test_a_heart_beats_on_after_a_write_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "HEARTBEATS", 800)
    made = record.Record(Store(tmp_path), RunManifest(run_id="r"), Mock())
    write = Mock(side_effect=[Unreachable("does not answer"), None, None])
    monkeypatch.setattr(made, "write", write)
    while write.call_count < 3:
        made._ended.wait(0.01)
        assert made._thread.is_alive()
    monkeypatch.undo()
    made.finish("done")


def test_one_of_two_that_begin_a_run_at_once_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATELIER_LEASE_SECONDS", "1")
    together, refused = threading.Barrier(2), threading.Event()

    def write() -> bool:
        together.wait()
        try:
            with record.sole_writer(Store(tmp_path), "r") as held:
                made = record.Record(Store(tmp_path), RunManifest(run_id="r"), held)
                assert refused.wait(20)
                made.finish("done")
        except InputError as error:
            assert "run r is running in another process" in str(error)
            refused.set()
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(lambda _: write(), range(2))) == [False, True]
    with record.sole_writer(Store(tmp_path), "r"):
        pass  # it has ended


def test_a_killed_run_is_resumed_and_writes_no_more_if_it_was_only_asleep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATELIER_LEASE_SECONDS", "1")
    store = Store(tmp_path)
    monkeypatch.setattr(Lease, "_write", lambda self: None)
    with record.sole_writer(store, "r") as asleep:
        before = record.Record(store, RunManifest(run_id="r"), asleep)
        with record.sole_writer(store, "r") as held:
            made = record.Record(store, RunManifest(run_id="r", command="the second"), held)
            with pytest.raises(RunError, match="lost the lease 'run-r'"):
                before.update(command="the first")
            made.finish("done")
    assert store.read_json("runs/r/run.json")["command"] == "the second"
    before._ended.set()


def test_neither_the_cluster_nor_what_is_withheld_of_it_is_recorded() -> None:
    from flows import setup

    here = setup.experiment(QUICKSTART, ["device=cpu"])
    there = here.model_copy(update={"cluster": "http://head:8265"})
    assert redacted(here) == redacted(there) and record.withheld(there) == []


def test_code_without_its_history_has_its_commit_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for value, expected in (("abc", ("abc", False)), ("abc-dirty", ("abc", True)), ("", (None, False))):
        monkeypatch.setenv("ATELIER_COMMIT", value)
        assert record.commit_of(tmp_path) == expected
