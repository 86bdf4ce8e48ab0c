"""Pins of data sets: files that DVC reads, without DVC."""

import pytest

from components.common.errors import InputError
from components.data.versioning import dvc, pins
from tests.data.pictures import fill


def test_names_in_other_scripts_and_folders_are_hashed_as_dvc_does(home):
    folder = home / "data/odd"
    fill(folder / "b" / "é 𝄞", 2)
    fill(folder / "a-b", 1)
    (folder / "a").mkdir()
    (folder / "a" / "empty").write_bytes(b"")
    (folder / "a.txt").write_bytes(b"x\r\n")
    dvc.init(home)
    with dvc.repository(home) as repo:
        (stage,) = repo.add(str(folder))
    assert stage.outs[0].hash_info.value == pins.folder_md5(folder)


def test_a_torn_last_line_of_a_history_takes_no_other_with_it(home):
    pins.note_version(home, "odd", "a" * 32)
    history = pins.history_file(home, "odd")
    history.write_text(history.read_text() + '{"version": "bbb')
    pins.note_version(home, "odd", "c" * 32)
    assert [row["version"][0] for row in pins.noted(home, "odd")] == ["a", "c"]


def test_a_file_that_is_not_dvcs_is_told(home):
    (home / "data").mkdir()
    (home / "data/mine.dvc").write_text("<<<<<<< HEAD\n")
    with pytest.raises(InputError, match="mine.dvc is not a DVC file"):
        pins.pinned(home, "mine")


def test_a_revision_with_a_null_character_does_not_exist(home):
    assert pins.pinned_at(home, "mine", "HEAD\0") is None
