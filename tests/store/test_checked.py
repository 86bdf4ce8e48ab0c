"""Copies of finished results are compared with their hashes."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.common.errors import RunError
from components.common.hashing import sha256
from components.store import Store, checked

ATTEMPT = "store/prepare/k/attempts/1"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with a finished result of two files."""
    made = Store(tmp_path / "store")
    files = {"data/a.npy": b"a", "data/x/b.npy": b"b", "card.json": b"c"}
    for path, content in files.items():
        made.write_bytes(f"{ATTEMPT}/{path}", content)
    listed = [{"path": path, "bytes": 1, "sha256": sha256(content)} for path, content in files.items()]
    made.write_json(f"{ATTEMPT}/result.json", {"files": listed})
    return made


def test_hashes_are_those_below_a_folder_or_of_a_file(store: Store) -> None:
    assert checked.hashes(store, f"{ATTEMPT}/data") == {"a.npy": sha256(b"a"), "x/b.npy": sha256(b"b")}
    assert checked.hashes(store, f"{ATTEMPT}/card.json") == {"": sha256(b"c")}
    store.write_json(f"{ATTEMPT}/result.json", {"files": [{"path": "data/a.npy"}]})
    for unknown in (f"{ATTEMPT}/data", "store/train/k/attempts/2/model", "registry/digits/1", "card.json"):
        assert checked.hashes(store, unknown) == {}


def test_a_torn_copy_is_made_again_and_never_kept(store: Store, tmp_path: Path) -> None:
    torn, calls = [True], []

    def fetch(rel: str, to: Path) -> None:
        calls.append(rel)
        store.download(rel, to)
        if torn and torn.pop():
            (to / "x" / "b.npy").write_bytes(b"?")

    copy = tmp_path / "copy"
    checked.copy(store, f"{ATTEMPT}/data", copy, fetch)
    assert len(calls) == 2 and (copy / "x" / "b.npy").read_bytes() == b"b"
    store.write_bytes(f"{ATTEMPT}/data/a.npy", b"other")
    with pytest.raises(RunError, match="prepare/k/attempts/1/data: a.npy has other contents than when"):
        checked.copy(store, f"{ATTEMPT}/data", tmp_path / "second", fetch)
    assert not (tmp_path / "second").exists()


def test_a_single_file_and_what_is_unfinished_are_copied(store: Store, tmp_path: Path) -> None:
    checked.copy(store, f"{ATTEMPT}/card.json", tmp_path / "card.json", store.download)
    store.write_bytes("store/train/k/attempts/1/model/w", b"w")
    checked.copy(store, "store/train/k/attempts/1/model", tmp_path / "model", store.download)
    assert (tmp_path / "card.json").read_bytes() == b"c" and (tmp_path / "model" / "w").read_bytes() == b"w"
