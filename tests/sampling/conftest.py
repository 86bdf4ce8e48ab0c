"""Fixtures that several files of this folder share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.small_data import *  # noqa: F403  (fixtures)

SIDE = 8


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, Path]:
    """A picture of the models' size, a small one of it, and masks."""
    image = np.tile(np.linspace(0, 255, SIDE).astype(np.uint8), (SIDE, 1))
    hole = np.zeros((SIDE, SIDE), np.uint8)
    hole[2:5, 3:6] = 255
    made = {
        "image": image,
        "small": image[::4, ::4],
        "other_small": 255 - image[::4, ::4],
        "mask": hole,
        "large_mask": np.zeros((2 * SIDE, SIDE), np.uint8),
    }
    for name, array in made.items():
        Image.fromarray(array).save(tmp_path / f"{name}.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "cut.png").write_bytes((tmp_path / "image.png").read_bytes()[:45])
    Image.fromarray(np.full((SIDE, SIDE), np.nan, np.float32)).save(tmp_path / "nan.tiff")
    others = {"nan": tmp_path / "nan.tiff", "none": tmp_path / "none.png"}
    return {name: tmp_path / f"{name}.png" for name in (*made, "broken", "cut")} | others
