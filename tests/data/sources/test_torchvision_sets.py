"""Data sets of torchvision."""

import socket

import numpy as np
import pytest
from PIL import Image

from components.common.errors import InputError, RunError
from components.data.dataset import open_split
from components.data.sources import prepare


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
    assert card.name == "letters" and card.counts == {"train": 32, "validation": 8, "test": 10}
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
