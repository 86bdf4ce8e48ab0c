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
    found = Files()
    scan(root, found)
    assert found.paths == ["b.PNG", "a/c.jpg"]
    reasons = dict(found.skipped)
    assert reasons["gone.png"] == "link to nothing" and reasons["pipe.png"] == "not a regular file"
    assert found.ignored + len([name for name in reasons if "not supported" in reasons[name]]) == 3


def test_a_source_is_an_existing_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert local_folder(f"file://{tmp_path}", tmp_path / "mirror", Files(), None) == tmp_path
    for source, words in ((tmp_path / "nothing", "does not exist"), (file, "is a file")):
        with pytest.raises(InputError, match=words):
            local_folder(source, tmp_path / "mirror", Files(), None)
