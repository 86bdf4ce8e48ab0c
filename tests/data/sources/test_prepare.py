import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from components.common.errors import InputError, RunError
from components.common.locks import locked
from components.data.card import DatasetCard
from components.data.dataset import open_split
from components.data.sources import prepare
from components.data.versioning import pins
from tests.data.pictures import contents, fill


def test_mnist5k_gives_the_version_that_is_committed(home):
    committed = pins.pinned(prepare.Path(__file__).parents[3], "mnist5k")
    prepare.prepare("mnist5k", home)
    assert pins.folder_md5(home / "data/mnist5k") == committed


def test_preparing_again_returns_at_once(home, monkeypatch):
    first = prepare.prepare("digits", home)
    monkeypatch.setattr(prepare, "write", lambda *_: pytest.fail("prepared again"))
    assert prepare.prepare("digits", home) == first


def test_the_same_source_gives_the_same_bytes(home, tmp_path):
    prepare.prepare("digits", home)
    prepare.prepare("digits", tmp_path / "other")
    assert contents(home / "data/digits") == contents(tmp_path / "other/data/digits")


def test_a_damaged_set_is_prepared_again(home):
    prepare.prepare("digits", home)
    whole = contents(home / "data/digits")
    file = home / "data/digits/train/images-00000.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\xff")
    with pytest.raises(RunError, match="train/images-00000.npy has other contents"):
        DatasetCard.read(home / "data/digits").verify(home / "data/digits")
    prepare.prepare("digits", home)
    assert contents(home / "data/digits") == whole


def test_large_splits_are_written_in_shards(home, images, monkeypatch):
    monkeypatch.setattr(prepare, "SHARD_BYTES", 5 * 3 * 32 * 32)
    card = prepare.add("mine", images, home)
    assert sum("train/images-" in path for path in card.files) == 3
    split = open_split(home / "data/mine", "train")
    assert len(split) == 14 and [len(array) for array in split.images.arrays] == [5, 5, 4]


def test_a_shard_that_is_written_in_parts_is_the_file_that_save_writes(tmp_path, monkeypatch):
    images, index = (
        np.random.default_rng(0).integers(0, 256, (9, 3, 8, 8), np.uint8),
        np.array([7, 1, 1, 0, 8]),
    )
    monkeypatch.setattr(prepare, "COPIED_BYTES", 400)  # two images
    prepare.save_rows(tmp_path / "parts.npy", images, index)
    prepare.save(tmp_path / "whole.npy", images[index])
    assert (tmp_path / "parts.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_a_version_other_than_the_pinned_one_is_refused_and_not_left_there(home):
    prepare.prepare("digits", home)
    shutil.rmtree(home / "data/digits")
    pin = "0" * 32 + ".dir"
    (home / "data/digits.dvc").write_text(f"outs:\n- md5: {pin}\n  path: digits\n")
    with pytest.raises(RunError, match=f"digits.dvc pins {pin}: install the locked versions"):
        prepare.prepare("digits", home)
    assert not (home / "data/digits").exists()
    prepare.prepare("digits", home, replace=True)
    assert (home / "data/digits").exists()


def test_an_interrupted_preparation_leaves_the_old_set_and_the_next_cleans_up(home, images, monkeypatch):
    prepare.add("mine", images, home)
    before = contents(home / "data/mine")
    fill(images, 5, first=50)
    monkeypatch.setattr(prepare, "write_split", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        prepare.add("mine", images, home)
    assert contents(home / "data") == {f"mine/{path}": data for path, data in before.items()}


def test_a_killed_preparation_leaves_nothing_that_looks_whole(home, images):
    code = f"""
import os
from pathlib import Path
from components.data.sources import prepare
write, done = prepare.write_split, []
prepare.write_split = lambda *a: (write(*a), done.append(1), os._exit(9) if len(done) == 2 else None)
prepare.add("mine", {str(images)!r}, Path({str(home)!r}))
"""
    assert (
        subprocess.run(
            [sys.executable, "-c", code], cwd=prepare.Path(__file__).parents[3], check=False
        ).returncode
        == 9
    )
    assert not (home / "data/mine").exists() and prepare.available(home)[-1]["name"] != "mine"
    assert sorted(os.listdir(home / "data")) == [".mine.new", ".mine.scratch"]
    prepare.prepare("digits", home)
    assert os.listdir(home / "data") == ["digits"], "whatever is prepared next clears away"


def test_what_another_process_is_preparing_is_left_alone(home):
    busy = home / "data/.mine.new"
    busy.mkdir(parents=True)
    with locked(pins.data_lock(home, "mine")):
        prepare.prepare("digits", home)
        assert busy.exists()
    prepare.sweep(home)
    assert not busy.exists()


def test_a_set_lost_between_two_renames_comes_back(home, images):
    prepare.add("mine", images, home)
    (home / "data/mine").rename(home / "data/.mine.old")
    with pytest.raises(InputError, match="already exists"):
        prepare.add("mine", home, home)
    assert (home / "data/mine/card.json").exists()


def test_a_full_disk_is_no_half_set(home, images, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prepare, "save_rows", full)
    with pytest.raises(RunError, match="No space left"):
        prepare.add("mine", images, home)
    assert os.listdir(home / "data") == []


def test_two_at_once_give_one_whole_set(home, images):
    threads = [threading.Thread(target=prepare.add, args=("mine", images, home)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    DatasetCard.read(home / "data/mine").verify(home / "data/mine")
    assert os.listdir(home / "data") == ["mine"]


def test_a_set_from_another_source_is_not_replaced_unless_asked(home, images, tmp_path):
    prepare.add("mine", images, home)
    other = fill(tmp_path / "other" / "images", 24, first=70)
    with pytest.raises(InputError, match=f"already exists, from {images}"):
        prepare.add("mine", other, home)
    fill(images, 4, first=40)
    assert sum(prepare.add("mine", images, home).counts.values()) == 34, "the same source may grow"
    assert sum(prepare.add("mine", other, home, replace=True).counts.values()) == 24


def test_progress_is_told(home, images):
    calls = []
    prepare.add("mine", images, home, progress=lambda *step: calls.append(step))
    assert calls[-1] == (30, 30, "read")


def test_a_data_set_is_removed_with_its_pin(home, images):
    prepare.add("mine", images, home)
    (home / "data/mine.dvc").write_text("outs: []")
    assert prepare.discard("mine", home) > 30 * 32 * 32
    assert not list((home / "data").glob("*mine*")) and prepare.origin(home, "mine") is None
    with pytest.raises(InputError, match="no data set 'mine' to remove; `atelier data list`"):
        prepare.discard("mine", home)
    (home.parent / "other").mkdir(exist_ok=True)
    with pytest.raises(InputError, match="is not accepted"):
        prepare.discard("../../other", home)
    prepare.add("mine", images.parent / "images", home, resolution=16)
