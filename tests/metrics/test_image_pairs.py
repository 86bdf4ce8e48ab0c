"""Errors, PSNR and SSIM of pairs of images."""

import numpy as np
import pytest
import scipy.ndimage

from components.metrics import image_pairs
from components.metrics.image_pairs import (
    absolute_errors,
    luma,
    luma_values,
    psnr_values,
    squared_errors,
    ssim_values,
)


@pytest.fixture
def random():
    return np.random.RandomState(0)


def images(random, n=20, side=16):
    smooth = scipy.ndimage.gaussian_filter(random.normal(size=(n, 3, side, side)), (0, 0, 1, 1))
    return np.clip(128 + 200 * smooth, 0, 255).astype(np.uint8)


def test_errors_and_psnr_of_a_known_difference():
    a = np.full((20, 3, 8, 8), 100, np.uint8)
    b = a.copy()
    b[:, :, :, :4] += 51
    for first, second in ((a, b), (b, a)):  # uint8 must not wrap round
        np.testing.assert_allclose(squared_errors(first, second), 0.02)
        np.testing.assert_allclose(absolute_errors(first, second), 0.1)
        np.testing.assert_allclose(psnr_values(first, second), -10 * np.log10(0.02))
    assert (squared_errors(a, a) == 0).all() and (psnr_values(a, a) == 100).all()
    assert squared_errors(a, b).shape == absolute_errors(a, b).shape == psnr_values(a, b).shape == (20,)


def ssim_by_hand(a, b, radius, sigma):
    """Wang et al. 2004, Eq. 13, of one channel, edges reflected."""
    x, y = a / 255, b / 255

    def smooth(image):
        return scipy.ndimage.gaussian_filter(image, sigma, radius=radius, mode="mirror")

    mean_x, mean_y = smooth(x), smooth(y)
    var_x, var_y, both = smooth(x * x) - mean_x**2, smooth(y * y) - mean_y**2, smooth(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    parts = (
        (2 * mean_x * mean_y + c1) * (2 * both + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    )
    return parts.mean()


@pytest.mark.parametrize(
    ("side", "radius", "sigma"), [(16, 5, 1.5), (11, 5, 1.5), (8, 3, 3 / 3.5), (7, 3, 3 / 3.5)]
)
def test_ssim_is_the_formula_with_the_documented_window(random, side, radius, sigma):
    a, b = images(random, 3, side), images(random, 3, side)
    expected = [
        np.mean([ssim_by_hand(*pair, radius, sigma) for pair in zip(p, q, strict=True)])
        for p, q in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(ssim_values(a, b), expected, rtol=1e-6)


def test_ssim_does_not_depend_on_its_batches(random, monkeypatch):
    a, b = images(random), images(random)
    whole = ssim_values(a, b)
    monkeypatch.setattr(image_pairs, "IMAGES", 3)
    np.testing.assert_allclose(ssim_values(a, b), whole, rtol=1e-12)
    assert ssim_values(a[:1], b[:1]).shape == (1,)


def test_luma_of_known_colours():
    """ITU-R BT.601: black is 16, white 235; red, green and blue as in MATLAB's rgb2ycbcr."""
    colours = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [51, 51, 51]])
    y = luma(colours[:, :, None, None].astype(np.uint8))[:, 0, 0, 0]
    np.testing.assert_allclose(y, [16, 235, 81.481, 144.553, 40.966, 16 + 219 / 5])
    grey = np.array([0, 7, 255], np.uint8).reshape(3, 1, 1, 1)
    np.testing.assert_array_equal(luma(grey), grey)


def test_psnr_of_luma_is_that_of_a_known_error_inside_the_border(random):
    a = images(random, 70, 12) // 2  # more than are compared at once
    b = a.copy()
    b[:, 1] += 51  # green by a fifth: Y by 128.553 / 5
    expected = -20 * np.log10(128.553 / 5 / 255)
    np.testing.assert_allclose(luma_values(a, b, 2)["psnr_y"], np.full(70, expected))
    b[:, :, :2] = b[:, :, :, -2:] = 255  # what lies within the border does not count
    np.testing.assert_allclose(luma_values(a, b, 2)["psnr_y"], np.full(70, expected))
    assert (luma_values(a, b, 1)["psnr_y"] < expected).all()
    same = luma_values(a, a, 4)
    assert (same["psnr_y"] == 100).all() and np.allclose(same["ssim_y"], 1)
    inner = luma(a[:, :, 2:-2, 2:-2]), luma(b[:, :, 2:-2, 2:-2])
    np.testing.assert_allclose(luma_values(a, b, 2)["ssim_y"], ssim_values(*inner))
    assert luma_values(a, b, 5) == {}, "too little is left"
