"""Whole writes, exclusive creation, and what is said when writing fails."""

import errno
import os
import time
from pathlib import Path

import pytest

from components.common import atomic
from components.common.errors import InputError, RunError
from components.store import Store


def test_a_killed_writer_leaves_the_old_bytes(local, racers):
    local.write_bytes("x", b"old")
    process = racers.start(1, "write_half", local.url, "x")[0]
    assert process.wait(30) == -9
    assert local.read_bytes("x") == b"old"
    assert local.list() == ["x"]


@pytest.mark.s3
def test_a_killed_writer_leaves_the_old_bytes_on_s3(bucket, racers):
    store = Store(f"s3://{bucket}")
    store.write_bytes("x", b"old")
    process = racers.start(1, "write_much", store.url, "x")[0]
    process.stdout.readline()
    time.sleep(0.05)
    process.kill()
    process.wait()
    assert store.read_bytes("x") == b"old"


@pytest.mark.parametrize("name", ["local", pytest.param("s3", marks=pytest.mark.s3)])
def test_one_of_eight_processes_creates(name, request, racers):
    store = (
        request.getfixturevalue("local")
        if name == "local"
        else Store(f"s3://{request.getfixturevalue('bucket')}")
    )
    keys = 20 if name == "local" else 2
    assert store.atomic_create
    racers.start(8, "create", store.url, keys)
    results = racers.results()
    for key in range(keys):
        winners = [i for i, created in enumerate(results) if created[key]]
        assert len(winners) == 1
        assert store.read_bytes(f"race/{key}") == str(winners[0]).encode()


def test_create(store):
    assert store.create("a/b", b"first")
    assert not store.create("a/b", b"second")
    assert store.read_bytes("a/b") == b"first"
    assert store.atomic_create == (not store.url.startswith("memory"))


def test_create_without_hard_links(local, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert local.create("a", b"1") and not local.create("a", b"2")
    monkeypatch.setattr(Path, "exists", lambda _: False)  # the other one came between the look and the write
    assert not local.create("a", b"2")
    assert local.list() == ["a"]


def test_a_created_file_is_never_seen_empty(local, monkeypatch):
    def broken(path, data):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", broken)
    with pytest.raises(KeyboardInterrupt):
        local.create("a", b"1")
    assert local.find() == [] and os.listdir(local.url) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk(local, tmp_path, monkeypatch, number):
    local.write_bytes("x", b"old")
    (tmp_path / "file").write_bytes(b"new")

    def full(path, *_):
        Path(path).touch()
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr("shutil.copyfile", lambda _, target: full(target))
    for call in (
        lambda: local.write_bytes("x", b"new"),
        lambda: local.create("y", b"new"),
        lambda: local.upload(tmp_path / "file", "x"),
    ):
        with pytest.raises(RunError, match="no space left; free some"):
            call()
    assert local.read_bytes("x") == b"old"
    assert os.listdir(local.url) == ["x"]


def test_a_disk_full_at_the_sync_is_told_too(local, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="no space left"):
        local.write_bytes("x", b"1")
    assert not local.exists("x")


def test_a_file_system_that_cannot_sync_will_do(local, monkeypatch):
    def unsupported(_):
        raise OSError(errno.EINVAL, "no sync")

    monkeypatch.setattr(os, "fsync", unsupported)
    local.write_bytes("x", b"1")
    assert local.read_bytes("x") == b"1"


def test_folders_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: the folder cannot be made there; name another"):
        Store(tmp_path / "file").write_bytes("x", b"1")

    def refused(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", "/somewhere")

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(InputError, match="no permission"):
        Store(tmp_path / "other").write_bytes("x", b"1")


def test_others_may_read_what_is_written(local):
    old = os.umask(0o022)
    try:
        local.write_bytes("x", b"1")
        local.create("y", b"1")
    finally:
        os.umask(old)
    assert {os.stat(local.path(name)).st_mode & 0o777 for name in ("x", "y")} == {0o644}


def test_remove_does_not_follow_links(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    atomic.remove(tmp_path / "link")
    assert (tmp_path / "precious").is_dir() and not (tmp_path / "link").is_symlink()
