"""Crops of photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.common.errors import InputError
from components.data.dataset import open_split
from components.data.sources import photographs, prepare
from components.data.sources.base import packaged
from components.data.sources.degradations import Downscale
from tests.data.pictures import picture


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files under the names of the photographs of scikit-image; those of scikit-learn are real."""
    names = [name for split in photographs.SPLITS.values() for name in split]
    for seed, name in enumerate(names):
        picture(seed, (300, 200)).save(tmp_path / name)

    def found(package: str, path: str) -> Path:
        return tmp_path / Path(path).name if package == "scikit-image" else packaged(package, path)

    monkeypatch.setattr(photographs, "packaged", found)


@pytest.mark.usefixtures("stand_ins")
def test_whole_photographs_are_in_a_split_and_sources_are_a_quarter(home: Path) -> None:
    card = prepare.prepare("photographs-x4", home)
    assert (card.resolution, card.channels) == (128, 3) and card.sources is not None
    assert card.sources.are_paired and card.sources.shape.shape == (3, 32, 32)
    # 300 x 200 has 3 x 2 crops half overlapping and 2 x 1 apart; 640 x 427 has 9 x 5, or 5 x 3.
    assert card.counts == {"train": 5 * 6 + 45, "validation": 2, "test": 2 + 2 + 15}
    split = open_split(home / "data/photographs-x4", "test", sources=True)
    assert split.sources is not None
    for row in range(len(split)):
        np.testing.assert_array_equal(split.sources[row], Downscale(scale=4)(split.images[row]))


def test_crops_are_a_stride_apart_and_inside() -> None:
    photograph = np.arange(3 * 200 * 300, dtype=np.uint32).reshape(3, 200, 300)
    crops = photographs.cut(photograph, 64)
    assert len(crops) == 2 * 3 and {crop.shape for crop in crops} == {(3, 128, 128)}
    np.testing.assert_array_equal(crops[4], photograph[:, 64:192, 64:192])


def test_a_missing_package_is_named(home: Path) -> None:
    try:
        packaged("scikit-image", "skimage/data/astronaut.png")
    except InputError:
        with pytest.raises(InputError, match="package scikit-image, which is not installed"):
            prepare.prepare("photographs-x4", home)
