"""Sheets of samples."""

import numpy as np
import pytest

from components.sampling.sheets import decode_webp, encode_webp, grid, read_webp, save_webp, ungrid


@pytest.mark.parametrize("channels", [1, 3])
def test_grids_are_tiles_side_by_side_and_come_back(channels, tmp_path):
    images = np.random.RandomState(0).randint(0, 256, (11, channels, 5, 5)).astype(np.uint8)
    array = grid(images, columns=4)
    assert array.shape == (15, 20, channels)
    np.testing.assert_array_equal(array[5:10, 10:15], images[6].transpose(1, 2, 0))
    assert not array[10:, 15:].any()
    save_webp(array, tmp_path / "grid.webp")
    back = read_webp(tmp_path / "grid.webp", channels)
    np.testing.assert_array_equal(ungrid(back, 5, count=11), images)
    np.testing.assert_array_equal(decode_webp(encode_webp(array), channels), array)
    assert [path.name for path in tmp_path.iterdir()] == ["grid.webp"]
