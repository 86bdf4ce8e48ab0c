"""Degradations: closed forms, and the same bytes every time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from components.common.errors import InputError
from components.data.sources.degradations import Downscale, Edges, Grey, Jpeg, Noise
from components.data.sources.degraded import DEGRADATIONS, degradation


def noise(seed: int = 0, channels: int = 3, side: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (channels, side, side), dtype=np.uint8)


def steps(height: int, side: int = 32) -> np.ndarray:
    """Dark on the left, brighter by `height` from column 16 on."""
    image = np.full((3, side, side), 60, np.uint8)
    image[:, :, 16:] += np.uint8(height)
    return image


def smooth(side: int = 64) -> np.ndarray:
    waves = np.sin(np.arange(side) / 9)[:, None] * np.cos(np.arange(side) / 7)[None]
    return np.repeat(np.rint(127 + 120 * waves).astype(np.uint8)[None], 3, 0)


@pytest.mark.parametrize("kind", DEGRADATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_image_gives_the_same_source(kind: str, channels: int) -> None:
    if kind == "grey" and channels == 1:
        return
    degrade, image = degradation(kind, {}), noise(channels=channels)
    source = degrade(image, seed=3)
    assert source.dtype == np.uint8 and source.shape[0] in (1, channels)
    np.testing.assert_array_equal(source, degrade(image.copy(), seed=3))
    assert (degrade(noise(1, channels)) != source).any()
    assert (degrade(image, seed=4) != source).any() == (kind in ("noise", "real-esrgan"))


def test_a_straight_step_has_one_edge_of_one_pixel() -> None:
    for image in (steps(100), steps(100).transpose(0, 2, 1)):
        black = Edges()(image)[0] == 0
        assert black.sum() == 32
        columns = black if image is not None and black.any(axis=0).sum() == 1 else black.T
        assert np.flatnonzero(columns.any(axis=0)).tolist() in ([15], [16])


def test_a_diagonal_step_has_a_thin_edge() -> None:
    image = np.where(np.add.outer(np.arange(32), np.arange(32)) < 31, 20, 220)
    black = Edges()(np.repeat(image.astype(np.uint8)[None], 3, 0))[0] == 0
    assert 28 <= black.sum() <= 64
    assert (abs(np.add.outer(np.arange(32), np.arange(32))[black] - 31) <= 1).all()
    mirrored = Edges()(np.repeat(image.astype(np.uint8)[None, :, ::-1], 3, 0))[0] == 0
    assert abs(int(mirrored.sum()) - int(black.sum())) <= 2


def test_thresholds_are_gradients_of_the_smoothed_step() -> None:
    # The binomial filter spreads a step of h to 1, 5, 11 and 15 16ths, so that Sobel gives 4 h * 10 / 16.
    height = 64
    gradient = 4 * height * 10 // 16
    assert (Edges(low=1, high=gradient)(steps(height)) == 0).any()
    assert (Edges(low=1, high=gradient + 1)(steps(height)) == 255).all()
    assert (Edges(low=gradient + 1, high=1)(steps(height)) == 255).all()


def test_a_weak_edge_stays_only_where_it_continues_a_strong_one() -> None:
    image = steps(0)
    image[:, :, 16:] += np.linspace(100, 20, 32).astype(np.uint8)[:, None]  # weaker and weaker
    degrade = Edges(low=40, high=200)
    assert (degrade(image)[0, 20:] == 0).any() and (degrade(image[:, 20:]) == 255).all()


def test_edges_of_one_channel_are_found() -> None:
    image = np.full((3, 32, 32), 100, np.uint8)
    image[2, :, 16:] = 255
    assert (Edges()(image) == 0).any() and (Edges()(image[:2]) == 255).all()


def test_the_luma_is_that_of_bt_601() -> None:
    image = noise()
    expected = np.tensordot([0.299, 0.587, 0.114], image.astype(float), 1)
    assert abs(Grey()(image)[0] - expected).max() <= 1


@pytest.mark.parametrize("scale", [2, 4])
def test_reductions_are_antialiased_and_bicubic(scale: int) -> None:
    image = noise()
    small = Downscale(scale=scale)(image)
    size = (32 // scale, 32 // scale)
    exact = interpolate(torch.from_numpy(image)[None].float(), size, mode="bicubic", antialias=True)[0]
    aliased = interpolate(torch.from_numpy(image)[None].float(), size, mode="bicubic")[0]
    assert abs(small - exact.clamp(0, 255).numpy()).max() <= 1.5
    assert abs(small - aliased.clamp(0, 255).numpy()).max() > 30


def test_noise_has_its_deviation_and_no_mean() -> None:
    image = np.full((3, 200, 200), 128, np.uint8)
    added = Noise(sigma=10)(image).astype(float) - image
    assert abs(added.mean()) < 0.15 and abs(added.std() - 10) < 0.15
    assert abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 0.03


def test_jpeg_of_low_quality_is_further_away() -> None:
    image = smooth()
    far, near = (abs(Jpeg(quality=q)(image).astype(int) - image).mean() for q in (5, 95))
    assert near < 1 < far


@pytest.mark.parametrize(
    ("kind", "options", "sentence"),
    [
        ("blur", {}, "unknown degradation 'blur'; known: edges, grey, downscale, noise, jpeg, real-esrgan"),
        ("edges", {"scale": 2}, "edges has no option scale; it has: low, high"),
        ("grey", {"sigma": 2.0}, "grey has no option sigma; it has: no options"),
        ("jpeg", {"quality": 0}, "quality 0 is not possible"),
        ("noise", {"sigma": -1.0}, "sigma -1.0 is not possible"),
    ],
)
def test_options_that_cannot_be_are_refused(kind: str, options: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        degradation(kind, options)


def test_options_of_none_are_the_defaults() -> None:
    assert degradation("downscale", {"scale": None, "sigma": None}) == Downscale()


@pytest.mark.parametrize(
    ("degrade", "shape", "sentence"),
    [
        (Downscale(scale=3), (3, 33), "scale 3 is not supported: choose 2 or 4"),
        (Downscale(scale=4), (3, 30), "scale 4 does not divide the resolution of the images, 30"),
        (Grey(), (1, 32), "grey already"),
    ],
)
def test_images_that_cannot_be_degraded_are_refused(degrade, shape: tuple[int, int], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        degrade.check(*shape)
