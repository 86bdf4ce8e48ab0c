"""Images that a user gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from components.sampling.read_image import one_image, one_mask
from models.data_spec import DataSpec

SIDE = 8


def test_values_of_every_depth_are_the_same_image(tmp_path: Path) -> None:
    """16 bits and floats, of which Pillow would cut off what is above 255 and round off what is below 1."""
    levels = np.tile(np.arange(0, 256, 34, dtype=np.uint8), (SIDE, 1))
    depths = {
        "eight.png": levels,
        "sixteen.png": levels.astype(np.uint16) * 257,
        "float.tiff": (levels / 255).astype(np.float32),
    }
    for name, values in depths.items():
        Image.fromarray(values).save(tmp_path / name)
        np.testing.assert_array_equal(one_image(tmp_path / name, DataSpec(1, SIDE))[0], levels)
        hole = one_mask(tmp_path / name, SIDE)[0]
        np.testing.assert_array_equal(hole, np.where(levels >= 128, 255, 0))


def test_what_is_transparent_is_on_the_background_of_the_data(tmp_path: Path) -> None:
    Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    for background, level in ((None, 255), ("black", 0)):
        assert (one_image(tmp_path / "clear.png", DataSpec(3, SIDE), background) == level).all()
    assert (one_mask(tmp_path / "clear.png", SIDE) == 0).all(), "and no hole of a mask"
