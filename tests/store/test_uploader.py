"""Uploads in the background: nothing is lost, nobody waits, and failures are told."""

import errno
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from components.common.errors import InputError
from components.store import Store
from components.store import uploader as store_uploader
from components.store.errors import Unreachable
from components.store.uploader import Uploader


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(store_uploader, "MAX_PAUSE", 0.5)


def test_uploads_bytes_files_and_folders_in_order(store, tmp_path):
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "x").write_bytes(b"1")
    with Uploader(store) as uploader:
        for i in range(5):
            uploader.put(str(i).encode(), "last")
        uploader.put(tmp_path / "folder", "copy")
        uploader.put(tmp_path / "folder" / "deep" / "x", "one")
    assert store.read_bytes("last") == b"4"
    assert store.find() == ["copy/deep/x", "last", "one"]
    assert uploader.failed == [] and uploader.pending == 0


def test_a_failure_does_not_stop_the_others(local, tmp_path):
    with Uploader(local) as uploader:
        uploader.put(tmp_path / "missing", "a")
        uploader.put(b"1", "b")
    assert local.list() == ["b"]
    assert [rel for rel, _ in uploader.failed] == ["a"]


def test_a_bad_name_is_told_to_the_caller(local):
    with Uploader(local) as uploader, pytest.raises(InputError):
        uploader.put(b"", "../x")


def test_nothing_more_after_close(local):
    uploader = Uploader(local)
    uploader.close()
    uploader.close()
    with pytest.raises(RuntimeError):
        uploader.put(b"", "x")


@pytest.fixture
def away(monkeypatch):
    """A store that does not answer until the returned event is set."""
    back, write, upload = threading.Event(), Store.write_bytes, Store.upload

    def waits(do):
        def call(*arguments):
            if not back.is_set():
                raise Unreachable("does not answer")
            return do(*arguments)

        return call

    monkeypatch.setattr(Store, "write_bytes", waits(write))
    monkeypatch.setattr(Store, "upload", waits(upload))
    yield back
    back.set()


def test_newer_notes_replace_older_ones(local, away):
    with Uploader(local) as uploader:
        for i in range(1000):
            uploader.put(str(i).encode(), "progress.json")
            uploader.put(b"x", f"checkpoints/{i}")
            uploader.drop(f"checkpoints/{i - 1}")
        assert uploader.pending <= 4
        away.set()
    assert uploader.failed == [] and local.read_bytes("progress.json") == b"999"
    assert "999" in local.list("checkpoints")


def test_much_that_waits_is_not_kept_in_memory(local, away, monkeypatch):
    monkeypatch.setattr(store_uploader, "MAX_BYTES", 2500)
    with Uploader(local) as uploader:
        for i in range(10):
            uploader.put(bytes(1000), f"x{i}")
        assert uploader._bytes() <= 2500
        spool = Path(uploader._spool.name)
        assert len(list(spool.iterdir())) >= 7
        away.set()
    assert len(local.list()) == 10 and local.size("x9") == 1000 and not spool.exists()


def test_a_full_disk_makes_uploads_wait_for_room(local, away, monkeypatch):
    monkeypatch.setattr(store_uploader, "MAX_BYTES", 2500)
    monkeypatch.setattr(Uploader, "_spooled", Mock(side_effect=OSError(errno.ENOSPC, "full")))
    sizes = []
    with Uploader(local) as uploader:

        def put_all():
            for i in range(6):
                uploader.put(bytes(1000), f"x{i}")
                sizes.append(uploader._bytes())

        thread = threading.Thread(target=put_all)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive() and max(sizes) <= 2500
        away.set()
        thread.join(60)
    assert len(local.list()) == 6 and max(sizes) <= 2500


def test_putting_does_not_wait(memory, monkeypatch):
    monkeypatch.setattr(Store, "write_bytes", lambda *_: time.sleep(0.2))
    uploader = Uploader(memory)
    start = time.monotonic()
    for i in range(5):
        uploader.put(b"", f"x{i}")
    assert time.monotonic() - start < 0.15
    uploader.close()
    assert not uploader.failed


def test_a_store_that_is_down_for_good(memory, monkeypatch):
    def down(*_):
        raise Unreachable("does not answer")

    monkeypatch.setattr(Store, "write_bytes", down)
    uploader = Uploader(memory)
    uploader.put(b"1", "a")
    uploader.put(b"2", "b")
    start = time.monotonic()
    uploader.close(timeout=1)
    assert time.monotonic() - start < 3
    assert sorted(rel for rel, _ in uploader.failed) == ["a", "b"]
    uploader._thread.join(5)
    assert not uploader._thread.is_alive()


@pytest.mark.s3
def test_survives_a_server_that_is_killed_and_comes_back(crashable_s3, tmp_path):
    server, bucket = crashable_s3
    store = Store(f"s3://{bucket}/run")
    store.write_bytes("before", b"0")
    server.kill()
    Path(tmp_path / "file").write_bytes(b"3" * 100_000)
    uploader = Uploader(store)
    uploader.put(b"1", "a")
    uploader.put(b"2", "b")
    uploader.put(tmp_path / "file", "c")
    time.sleep(1.5)
    assert uploader.pending == 3 and not uploader.failed
    server.start()
    uploader.close(timeout=60)
    assert uploader.failed == []
    assert server.keys(bucket) == ["run/a", "run/b", "run/before", "run/c"]
    assert store.size("c") == 100_000


@pytest.mark.s3
def test_a_store_that_was_there_is_waited_for(crashable_s3):
    server, bucket = crashable_s3
    store = Store(f"s3://{bucket}")
    store.write_bytes("x", b"1")
    server.kill()
    read = []
    reader = threading.Thread(target=lambda: read.append(store.read_bytes("x")))
    reader.start()
    time.sleep(2)
    server.start()
    reader.join(60)
    assert read == [b"1"]
