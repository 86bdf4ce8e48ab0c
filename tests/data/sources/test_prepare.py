import json
import os
import shutil
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from components.common.errors import InputError, RunError
from components.common.locks import locked
from components.data.card import DataCard
from components.data.dataset import open_split
from components.data.sources import prepare
from components.data.sources.base import packaged
from components.data.versioning import pins
from tests.data.pictures import contents, fill


def test_mnist5k_is_the_real_thing_cut_evenly(home):
    card = prepare.prepare("mnist5k", home)
    assert card.counts == {"train": 3600, "validation": 400, "test": 1000}
    assert card.label_counts["test"] == [100] * 10 and card.label_counts["validation"] == [40] * 10
    assert (card.resolution, card.channels, card.labels) == (28, 1, list("0123456789"))
    parts = [open_split(home / "data/mnist5k", split) for split in card.counts]
    assert len({image.tobytes() for part in parts for image in part.images[:]}) == 5000, (
        "no digit is in two splits"
    )
    assert np.bincount(parts[2].labels[:200]).min() >= 10, "the first of a split are a fair sample of it"


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


def test_digits_are_scaled_to_the_full_range(home):
    card = prepare.prepare("digits", home)
    images = open_split(home / "data/digits", "train").images[:]
    assert sum(card.counts.values()) == 1797 and images.min() == 0 and images.max() == 255


def test_emoji_have_names_and_categories_and_no_base_emoji_in_two_splits(home):
    card = prepare.prepare("emoji", home)
    assert (card.resolution, card.channels, len(card.labels), card.captions) == (32, 3, 9, True)
    assert "CC BY" in card.licence and "Twemoji" in card.credit and card.background == "white"
    names = [
        {caption.partition(", ")[0] for caption in open_split(home / "data/emoji", split).captions}
        for split in card.counts
    ]
    assert "waving hand sign" in set.union(*names)
    tones = {caption for split in card.counts for caption in open_split(home / "data/emoji", split).captions}
    assert any(caption.endswith(", medium-dark skin tone") for caption in tones)
    from components.data.sources.emoji import ALWAYS_TRAIN

    assert set(ALWAYS_TRAIN.values()) <= names[list(card.counts).index("train")], "docs promise these by name"
    corners = open_split(home / "data/emoji", "test").images[:][:, :, 0, 0]
    assert corners.mean() > 200, "most drawings do not reach the corner, and the ground is white"


def test_skin_tones_share_the_split_of_their_base(home):
    from components.data.sources.emoji import base, collect

    assert base("1f44b-1f3fe", {}) == base("1f44b", {}) == "1f44b"
    collection = collect(32)
    split_of = {}
    for group, split in zip(
        collection.groups, prepare.splits.assign(collection.groups, collection.strata), strict=True
    ):
        assert split_of.setdefault(group, split) == split
    assert len(collection.groups) > 3000 > len(split_of)


def test_a_damaged_set_is_prepared_again(home):
    prepare.prepare("digits", home)
    whole = contents(home / "data/digits")
    file = home / "data/digits/train/images-00000.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\xff")
    with pytest.raises(RunError, match="train/images-00000.npy has other contents"):
        DataCard.read(home / "data/digits").verify(home / "data/digits")
    prepare.prepare("digits", home)
    assert contents(home / "data/digits") == whole


def test_large_splits_are_written_in_shards(home, images, monkeypatch):
    monkeypatch.setattr(prepare, "SHARD_BYTES", 5 * 3 * 32 * 32)
    card = prepare.add("mine", images, home)
    assert sum("train/images-" in path for path in card.files) == 5
    split = open_split(home / "data/mine", "train")
    assert len(split) == 22 and [len(array) for array in split.images.arrays] == [5, 5, 5, 5, 2]


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

    monkeypatch.setattr(prepare, "save", full)
    with pytest.raises(RunError, match="No space left"):
        prepare.add("mine", images, home)
    assert os.listdir(home / "data") == []


def test_two_at_once_give_one_whole_set(home, images):
    threads = [threading.Thread(target=prepare.add, args=("mine", images, home)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    DataCard.read(home / "data/mine").verify(home / "data/mine")
    assert os.listdir(home / "data") == ["mine"]


def test_a_set_from_another_source_is_not_replaced_unless_asked(home, images, tmp_path):
    prepare.add("mine", images, home)
    other = fill(tmp_path / "other" / "images", 10, first=70)
    with pytest.raises(InputError, match=f"already exists, from {images}"):
        prepare.add("mine", other, home)
    fill(images, 4, first=40)
    assert sum(prepare.add("mine", images, home).counts.values()) == 34, "the same source may grow"
    assert sum(prepare.add("mine", other, home, replace=True).counts.values()) == 10


def test_an_unknown_name_lists_the_known_ones(home):
    with pytest.raises(InputError, match="known: mnist5k, digits, emoji, emoji64, torchvision:<Class>"):
        prepare.prepare("mnist", home)


def test_a_missing_package_is_named(monkeypatch):
    with pytest.raises(InputError, match="pip install no-such-package"):
        packaged("no-such-package", "x")


def test_the_list_tells_what_is_prepared(home):
    prepare.prepare("digits", home)
    rows = {row["name"]: row for row in prepare.available(home)}
    assert list(rows) == ["mnist5k", "digits", "emoji", "emoji64"]
    assert not rows["mnist5k"]["prepared"] and rows["digits"]["prepared"] and rows["digits"]["classes"] == 10
    (home / "data/digits/card.json").write_text("{}")
    assert "damaged" in {row["name"]: row for row in prepare.available(home)}["digits"]["title"]


def test_progress_is_told(home, images):
    told = []
    prepare.add("mine", images, home, progress=lambda *step: told.append(step))
    assert told[-1] == (30, 30, "read")


class Letters:
    """A torchvision data set as torchvision makes them."""

    classes = ["a", "b"]

    def __init__(self, root, train=True, transform=None, download=False):
        assert download
        self.count, self.first = (40, 0) if train else (10, 100)

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        return Image.fromarray(np.full((16, 16), self.first + i, np.uint8)), i % 2


class Photos:
    """One with a split argument, large RGB images and no classes."""

    def __init__(self, root, split="train", transform=None, download=False):
        if split not in ("train", "val", "test"):
            raise ValueError(f"unknown split {split}")
        self.first = {"train": 0, "val": 20, "test": 40}[split]

    def __len__(self):
        return 20

    def __getitem__(self, i):
        return Image.fromarray(np.full((100, 120, 3), (self.first + i, 0, 9), np.uint8)), {"boxes": []}


@pytest.fixture
def torchvision_sets(monkeypatch):
    import torchvision.datasets as datasets

    monkeypatch.setattr(datasets, "Letters", Letters, raising=False)
    monkeypatch.setattr(datasets, "Photos", Photos, raising=False)
    monkeypatch.setattr(datasets, "__all__", (*datasets.__all__, "Letters", "Photos"))


def test_a_torchvision_set_keeps_its_splits_and_classes(home, torchvision_sets):
    card = prepare.prepare("torchvision:Letters", home)
    assert card.name == "letters" and card.counts == {"train": 37, "validation": 3, "test": 10}
    assert card.labels == ["a", "b"] and (card.channels, card.resolution) == (1, 16)
    assert open_split(home / "data/letters", "test").images[:].min() == 100
    assert prepare.prepare("torchvision:Letters", home) == card


def test_a_torchvision_set_with_named_splits(home, torchvision_sets):
    card = prepare.prepare("torchvision:Photos", home)
    assert card.counts == {"train": 20, "validation": 20, "test": 20}
    assert card.labels is None and (card.channels, card.resolution) == (3, 64)


def test_an_unknown_torchvision_set_is_told(home):
    with pytest.raises(InputError, match="did you mean FashionMNIST"):
        prepare.prepare("torchvision:fashionmnist", home)
    with pytest.raises(InputError, match="known: .*CIFAR10"):
        prepare.prepare("torchvision:Nothing", home)


def test_without_a_network_a_download_says_what_to_do(home, monkeypatch):
    def refused(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    with pytest.raises(
        RunError, match=r"could not get FashionMNIST .*without one, .* copy data/fashionmnist .*put torch"
    ):
        prepare.prepare("torchvision:FashionMNIST", home)
    assert not (home / "data/fashionmnist").exists()


def test_a_folder_called_like_a_torchvision_set_is_not_taken_for_it(home, images, torchvision_sets):
    prepare.add("letters", images, home)
    with pytest.raises(InputError, match="already exists, from"):
        prepare.prepare("torchvision:Letters", home)


def test_the_card_reads_back_and_its_hash_is_that_of_the_files(home):
    card = prepare.prepare("digits", home)
    again = DataCard.read(home / "data/digits")
    assert again == card and again.hash == card.hash and len(card.hash) == 64
    other = card.model_copy(
        update={"files": {**card.files, "train/labels.npy": card.files["test/labels.npy"]}}
    )
    assert other.hash != card.hash
    assert card.model_copy(update={"title": "other"}).hash == card.hash
    assert json.loads(card.to_json())["name"] == "digits"


def test_a_folder_without_a_card_is_no_data_set(tmp_path):
    with pytest.raises(InputError, match="no card.json"):
        DataCard.read(tmp_path)


def test_the_card_module_is_cheap_to_import():
    heavy = "{'torch', 'dvc', 'ray', 'numpy'}"
    code = f"import sys, components.data.versioning.dvc\nprint({heavy} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=prepare.Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"
