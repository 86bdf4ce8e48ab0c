"""Copies to a store are verified, continued and bounded in memory."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from components.common.errors import RunError
from components.common.hashing import sha256
from components.store import Store, transfer
from components.store.transfer import Upload, digest_of, upload_all
from tests.s3 import Server


def files(folder: Path, count: int = 40) -> list[Upload]:
    """Uploads of small files, and of a content."""
    folder.mkdir()
    for i in range(count):
        (folder / f"{i}.bin").write_bytes(os.urandom(100 + i))
    named = {f"a/{path.name}": path for path in sorted(folder.iterdir())}
    contents = [Upload.of("b.json", b"{}"), Upload.of("empty", b"")]
    return [*(Upload.of(name, path) for name, path in named.items()), *contents]


def store_of(kind: str, tmp_path: Path) -> Store:
    return Store(tmp_path / "store" if kind == "file" else f"memory://{tmp_path.name}")


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_files_are_copied_once(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, uploads, calls = store_of(kind, tmp_path), files(tmp_path / "of"), list[int]()
    upload_all(store, uploads, lambda done, total: calls.append(done))
    assert {name: sha256(store.read_bytes(name)) for name in store.find()} == {
        u.path: u.sha256 for u in uploads
    }
    assert calls == list(range(1, 43))
    store.write_bytes("a/3.bin", b"torn")
    store.write_bytes("a/4.bin", bytes(104))  # of the right size
    put, copied = transfer._put, list[str]()
    monkeypatch.setattr(transfer, "_put", lambda store, u: (copied.append(u.path), put(store, u)))
    upload_all(store, uploads)
    assert sorted(copied) == ["a/3.bin", "a/4.bin"]
    assert digest_of(store, "a/4.bin") == next(u.sha256 for u in uploads if u.path == "a/4.bin")


def test_a_store_that_changes_contents_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, calls = store_of("memory", tmp_path), list[str]()

    def torn(store: Store, upload: Upload) -> None:
        calls.append(upload.path)
        store.write_bytes(upload.path, b"{")

    monkeypatch.setattr(transfer, "_put", torn)
    with pytest.raises(RunError, match=r"the copy of b.json has other contents than its source"):
        upload_all(store, [Upload.of("b.json", b"{}")])
    assert calls == ["b.json"] * transfer.ATTEMPTS


@pytest.mark.s3
def test_a_large_file_is_streamed_to_a_bucket(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3_env: Server
) -> None:
    store, file = Store(f"s3://{bucket}/p"), tmp_path / "large.bin"
    monkeypatch.setattr(transfer, "PART", 5 * 2**20)  # the smallest part of S3
    monkeypatch.setattr(transfer, "CONCURRENT_PARTS", 2)
    block = os.urandom(2**20)
    with file.open("wb") as opened:
        for i in range(48):
            opened.write(block[i:] + block[:i])
    store.exists("x")  # connects
    tracemalloc.start()
    upload_all(store, [Upload.of("x/large.bin", file)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert store.size("x/large.bin") == 48 * 2**20
    assert (
        store.read_part("x/large.bin", 0, 9) == block[:9]
        and store.read_part("x/large.bin", 3, 5) == block[3:5]
    )
    assert peak < 36 * 2**20, "some parts at a time, with the copies that clients make, not the file"


@pytest.mark.s3
def test_a_bucket_lists_the_checksums_of_small_files(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3_env: Server
) -> None:
    store, uploads, read = Store(f"s3://{bucket}/p"), files(tmp_path / "of"), list[str]()
    is_there = transfer._is_there
    monkeypatch.setattr(transfer, "_is_there", lambda s, u: (read.append(u.path), is_there(s, u))[1])
    upload_all(store, uploads)
    assert read == [] and set(store.find()) == {upload.path for upload in uploads}
    store.write_bytes("a/4.bin", bytes(104))  # of the right size
    upload_all(store, uploads)
    assert read == ["a/4.bin", "a/4.bin"] and store.read_bytes("a/4.bin") != bytes(104)
    monkeypatch.setattr(transfer, "_md5", lambda source: "not what an encrypted bucket lists")
    upload_all(store, uploads)
    assert sorted(read[2:]) == sorted(store.find()), "what is not listed is read back"


@pytest.mark.s3
def test_small_files_take_one_request_each(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3_env: Server
) -> None:
    store, others = Store(f"s3://{bucket}/p"), list[Upload]()
    monkeypatch.setattr(transfer, "_put", lambda store, upload: others.append(upload))
    monkeypatch.setattr(transfer, "_is_there", lambda store, upload: others.append(upload))
    monkeypatch.setattr(transfer, "_listed", lambda store, uploads: set(map(others.append, uploads)))
    upload_all(store, uploads := files(tmp_path / "of"))
    assert others == [] and store.find() == sorted(upload.path for upload in uploads)


@pytest.mark.s3
def test_a_file_that_changes_meanwhile_is_named(bucket: str, tmp_path: Path, s3_env: Server) -> None:
    (file := tmp_path / "x").write_bytes(b"old")
    upload = Upload.of("x", file)
    file.write_bytes(b"new")
    with pytest.raises(RunError, match="the copy of x has other contents than its source"):
        upload_all(Store(f"s3://{bucket}/p"), [upload])


@pytest.mark.s3
def test_a_killed_server_is_waited_for_and_the_copy_continues(
    crashable_s3: tuple[Server, str], tmp_path: Path
) -> None:
    server, name = crashable_s3
    store, uploads = Store(f"s3://{name}/p"), files(tmp_path / "of", 30)

    def restarted(done: int, total: int) -> None:
        if done == 5:
            server.kill()
            server.start()

    upload_all(store, uploads, restarted)
    assert {n: sha256(store.read_bytes(n)) for n in store.find()} == {u.path: u.sha256 for u in uploads}
