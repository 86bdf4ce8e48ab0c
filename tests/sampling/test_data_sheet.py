"""Pictures of data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.common.errors import InputError
from components.data.dataset import open_split
from components.data.sources import prepare
from components.data.sources.degradations import Downscale
from components.data.sources.degraded import degrade
from components.sampling.data_sheet import write_data_sheet
from tests.data.pictures import fill


def drawn(folder: Path, output: Path, **options) -> np.ndarray:
    write_data_sheet(folder, output, **options)
    with Image.open(output) as picture:
        return np.asarray(picture.convert("RGB"))


def tile(picture: np.ndarray, row: int, column: int, height: int, width: int) -> np.ndarray:
    top, left = 4 + row * (height + 8), 4 + column * (width + 8)
    return picture[top : top + height, left : left + width]


def test_classes_take_turns_and_small_images_are_enlarged(tmp_path: Path) -> None:
    prepare.prepare("digits", tmp_path)
    folder = tmp_path / "data/digits"
    picture = drawn(folder, tmp_path / "sheet.png", n=20)
    assert picture.shape == (2 * 72, 10 * 72, 3)
    split = open_split(folder, "train")
    assert split.labels is not None
    third = split.images[int(np.flatnonzero(split.labels == 3)[0])][0]
    np.testing.assert_array_equal(tile(picture, 0, 3, 64, 64)[::8, ::8, 0], third)
    assert (picture[:4] == 255).all()
    assert write_data_sheet(folder, tmp_path / "some.png", n=13) == 13, "not in whole lines only"
    np.testing.assert_array_equal(drawn(folder, tmp_path / "few.png", n=7), picture[:72, : 7 * 72])


def test_pairs_are_side_by_side_at_one_size(tmp_path: Path) -> None:
    prepare.add("mine", fill(tmp_path / "images", 40, size=(64, 64)), tmp_path)
    degrade("small", "mine", Downscale(scale=4), tmp_path)
    folder = tmp_path / "data/small"
    picture = drawn(folder, tmp_path / "sheet.webp", n=7, split="test")
    assert picture.shape == (2 * 72, 5 * 136, 3)
    split = open_split(folder, "test", sources=True)
    assert split.sources is not None
    assert (tile(picture, 1, 2, 64, 128) == 255).all(), "no eighth pair"
    sixth = tile(picture, 1, 0, 64, 128)
    np.testing.assert_array_equal(sixth[:, 64:], split.images[5].transpose(1, 2, 0))
    np.testing.assert_array_equal(sixth[::4, :64:4], split.sources[5].transpose(1, 2, 0))


def test_domains_without_pairs_are_one_above_the_other(tmp_path: Path) -> None:
    sources = fill(tmp_path / "sources", 60, first=100, size=(64, 64), mode="L")
    prepare.add(
        "mine", fill(tmp_path / "images", 24, size=(64, 64)), tmp_path, sources=sources, unpaired=True
    )
    folder = tmp_path / "data/mine"
    picture = drawn(folder, tmp_path / "sheet.png", split="test")
    split = open_split(folder, "test", sources=True)
    assert split.sources is not None and (len(split), len(split.sources)) == (8, 12)
    assert picture.shape == (72 + 4 + 72, 8 * 72, 3), "as many of each as there are images"
    np.testing.assert_array_equal(tile(picture, 0, 1, 64, 64)[..., 2], split.sources[1][0])
    np.testing.assert_array_equal(tile(picture[76:], 0, 1, 64, 64), split.images[1].transpose(1, 2, 0))


def test_more_images_than_there_are_is_all_of_them(tmp_path: Path) -> None:
    prepare.add("mine", fill(tmp_path / "images", 40), tmp_path)
    assert write_data_sheet(tmp_path / "data/mine", tmp_path / "a.png", split="test", n=10**6) == 8


@pytest.mark.parametrize(
    ("output", "options", "sentence"),
    [
        ("sheet.gif", {}, "pictures are written as .png or .webp"),
        ("sheet.png", {"n": 0}, "-n 0: at least one is needed"),
        ("sheet.png", {"split": "all"}, "unknown split 'all'"),
        ("sheet.webp", {"n": 2500}, "too large for WebP"),
    ],
)
def test_pictures_that_cannot_be_are_refused(tmp_path: Path, output: str, options, sentence: str) -> None:
    prepare.prepare("mnist5k", tmp_path)
    with pytest.raises(InputError, match=sentence):
        write_data_sheet(tmp_path / "data/mnist5k", tmp_path / output, **options)
    assert not (tmp_path / output).exists()
