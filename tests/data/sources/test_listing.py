"""Which files of a folder are images to try."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from components.common.errors import InputError
from components.data.sources.listing import Files, local_folder, scan


def test_files_are_sorted_into_images_others_and_those_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (root / ".hidden").mkdir()
    for name in ("b.PNG", "a/c.jpg", ".d.png", ".hidden/e.png", "notes.txt", "scan.heic", "raw.cr2"):
        (root / name).touch()
    (root / "gone.png").symlink_to(root / "nothing.png")
    os.mkfifo(root / "pipe.png")
    files = Files()
    scan(root, files)
    assert files.paths == ["b.PNG", "a/c.jpg"]
    reasons = dict(files.skipped)
    assert reasons["gone.png"] == "link to nothing" and reasons["pipe.png"] == "not a regular file"
    assert files.ignored + len([name for name in reasons if "not supported" in reasons[name]]) == 3


@pytest.mark.parametrize("folder", ["@eaDir", "$RECYCLE.BIN", "lost+found", "System Volume Information"])
def test_what_systems_put_into_folders_is_left_out_and_counted(tmp_path: Path, folder: str) -> None:
    (tmp_path / "cat" / folder).mkdir(parents=True)
    (tmp_path / "cat" / folder / "thumbnail.jpg").touch()
    files = Files()
    scan(tmp_path, files)
    assert not files.paths and files.left_out == {"hidden": 1}


def test_archives_are_named(tmp_path: Path) -> None:
    for name in ("00000.tar", "notes.md"):
        (tmp_path / name).touch()
    files = Files()
    scan(tmp_path, files)
    assert files.archives == ["00000.tar"] and files.ignored == 2


def test_a_source_is_an_existing_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert local_folder(f"file://{tmp_path}", tmp_path / "mirror", Files(), None) == tmp_path
    for source, words in ((tmp_path / "nothing", "does not exist"), (file, "is a file")):
        with pytest.raises(InputError, match=words):
            local_folder(source, tmp_path / "mirror", Files(), None)
