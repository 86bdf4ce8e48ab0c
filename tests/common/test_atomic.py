"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from components.common import atomic
from components.common.errors import InputError


def everything(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_error_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyError), atomic.replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert path.read_text() == "old" and everything(tmp_path) == ["file"]
    with atomic.replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and everything(tmp_path) == ["file"]


def test_only_the_first_creates(tmp_path: Path) -> None:
    path = tmp_path / "below" / "file"
    assert atomic.create(path, b"first") and not atomic.create(path, b"second")
    assert path.read_bytes() == b"first" and everything(path.parent) == ["file"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSPC])
def test_without_hard_links_a_file_is_created_and_a_full_disk_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(os, "link", refuse)
    if number == errno.ENOSPC:
        with pytest.raises(OSError):
            atomic.create(tmp_path / "file", b"content")
        assert everything(tmp_path) == []
    else:
        assert atomic.create(tmp_path / "file", b"content")
        assert (tmp_path / "file").read_bytes() == b"content" and everything(tmp_path) == ["file"]


def test_a_new_folder_takes_the_place_of_the_old_one_only_if_the_block_ends_well(tmp_path: Path) -> None:
    target = tmp_path / "data"
    with atomic.new_folder(target) as folder:
        (folder / "old").touch()
    with pytest.raises(KeyError), atomic.new_folder(target) as folder:
        (folder / "half").touch()
        raise KeyError
    assert everything(target) == ["old"] and everything(tmp_path) == ["data"]
    with atomic.new_folder(target) as folder:
        (folder / "new").touch()
    assert everything(target) == ["new"] and everything(tmp_path) == ["data"]


def test_a_writer_killed_between_two_renames_loses_nothing(tmp_path: Path) -> None:
    target = tmp_path / "data"
    for kind in ("old", "new"):
        atomic.sibling(target, kind).mkdir()
        (atomic.sibling(target, kind) / kind).touch()
    assert atomic.settle(target) == target
    assert everything(target) == ["old"] and everything(tmp_path) == ["data"]


def test_read_only_folders_are_removed_and_what_is_missing_is_no_error(tmp_path: Path) -> None:
    folder = tmp_path / "folder" / "inner"
    folder.mkdir(parents=True)
    (folder / "file").touch()
    folder.chmod(0o555)
    atomic.remove(tmp_path / "folder")
    atomic.remove(tmp_path / "folder")
    assert everything(tmp_path) == []


def test_a_folder_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[int] = set()
    before: set[int] = set()
    fsync, rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.add(os.fstat(fd).st_ino), fsync(fd))[1])
    monkeypatch.setattr(Path, "rename", lambda path, to: (before.update(synced), rename(path, to))[1])
    with atomic.new_folder(tmp_path / "data") as new:
        (new / "train").mkdir()
        (new / "train" / "images.npy").write_bytes(b"1")
        (new / "card.json").write_bytes(b"2")
    assert {p.stat().st_ino for p in [tmp_path / "data", *(tmp_path / "data").rglob("*")]} <= before
    assert tmp_path.stat().st_ino in synced


def test_what_killed_writers_left_is_listed_and_removed(tmp_path: Path) -> None:
    for name in (".tmp-a", "deep/.tmp-b/c", "deep/d", "deep/.tmp-b/.tmp-e"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    result = {str(path.relative_to(tmp_path)) for path in atomic.unfinished(tmp_path)}
    assert result == {".tmp-a", "deep/.tmp-b"}
    assert atomic.unfinished(tmp_path, older=60) == [] == atomic.unfinished(tmp_path / "missing")
    atomic.remove_unfinished(tmp_path, deep=False)
    assert [path.name for path in atomic.unfinished(tmp_path)] == [".tmp-b"]
    atomic.remove_unfinished(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["deep", "deep/d"]


def test_a_folder_that_cannot_be_made_is_bad_input_and_no_missing_file() -> None:
    with pytest.raises(InputError, match="/proc/nowhere/at: the folder cannot be made there"):
        atomic.create(Path("/proc/nowhere/at/all"), b"")


@pytest.mark.parametrize("place", ["file", "file/below", "f" * 300])
def test_a_folder_that_cannot_be_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=f"{place}: the folder cannot be made there"):
        atomic.make_folder(tmp_path / place)
    with (
        pytest.raises(InputError, match=f"{place}: the folder cannot be made there"),
        atomic.replacing(tmp_path / place / "a.txt") as temporary,
    ):
        temporary.write_text("x")


def test_a_file_does_not_replace_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with (
        pytest.raises(InputError, match=r"a.png is a folder: name a file"),
        atomic.replacing(tmp_path / "a.png"),
    ):
        pass
