"""Crops of photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from components.data.dataset import open_split
from components.data.sources import photographs, prepare
from components.data.sources.degradations import Downscale


def test_whole_photographs_are_in_a_split_and_sources_are_a_quarter(home: Path) -> None:
    card = prepare.prepare("photographs-x4", home)
    assert (card.resolution, card.channels) == (128, 3) and card.sources is not None
    assert card.sources.are_paired and card.sources.shape.shape == (3, 32, 32)
    # One of 512 x 512 has 7 x 7 crops half overlapping; apart, 640 x 427 has 5 x 3, 600 x 400 has
    # 4 x 3 and 451 x 300 has 3 x 2.
    assert card.counts == {"train": 812, "validation": 5 * 3, "test": 3 * 2 + 4 * 3 + 5 * 3}
    split = open_split(home / "data/photographs-x4", "test", sources=True)
    assert split.sources is not None
    for row in range(len(split)):
        np.testing.assert_array_equal(split.sources[row], Downscale(scale=4)(split.images[row]))


def test_crops_are_a_stride_apart_and_inside() -> None:
    photograph = np.arange(3 * 200 * 300, dtype=np.uint32).reshape(3, 200, 300)
    crops = photographs.cut(photograph, 64)
    assert len(crops) == 2 * 3 and {crop.shape for crop in crops} == {(3, 128, 128)}
    np.testing.assert_array_equal(crops[4], photograph[:, 64:192, 64:192])
