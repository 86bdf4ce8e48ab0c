"""Sheets of samples."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import atelier
from atelier.images import stacked


def test_a_sheet_is_one_picture_in_rows() -> None:
    images = np.arange(12, dtype=np.uint8).repeat(4).reshape(12, 2, 2, 1)
    sheet = atelier.sheet(images)
    assert sheet.mode == "L" and sheet.size == (20, 4)
    assert [sheet.getpixel((2 * i, 0)) for i in range(10)] == list(range(10))
    assert sheet.getpixel((2, 2)) == 11 and sheet.getpixel((4, 2)) == 0
    colour = atelier.sheet([Image.new("RGB", (3, 3), "red"), Image.new("L", (3, 3), 255)], columns=1)
    assert colour.mode == "RGB" and colour.size == (3, 6) and colour.getpixel((0, 3)) == (255, 255, 255)


def test_what_fits_into_no_sheet() -> None:
    with pytest.raises(atelier.InputError, match="one size, not 2x2, 3x3; take them as PIL images"):
        stacked([Image.new("L", (3, 3)), Image.new("L", (2, 2))])
    for images in (np.zeros((2, 2, 1), np.uint8), np.zeros((0, 2, 2, 1), np.uint8)):
        with pytest.raises(atelier.InputError, match="a sheet needs images"):
            atelier.sheet(images)
