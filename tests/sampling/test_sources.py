"""Sources as images of the data: as they are, enlarged, and in other colours."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch

from components.families.catalogue import build
from components.sampling.sources import as_images, source_images
from models.data_spec import DataSpec, SourceShape
from models.family import Batch, Noise
from models.super_resolution import enlarged, reduced
from tests.tiny import CONFIGS, split


def noise(n: int, channels: int, side: int) -> np.ndarray:
    return np.random.default_rng(side).integers(0, 256, (n, channels, side, side), np.uint8)


def test_a_source_of_the_data_s_shape_is_left_as_it_is() -> None:
    for card in (DataSpec(1, 8), DataSpec(3, 8)):
        images = noise(5, card.channels, 8)
        np.testing.assert_array_equal(as_images(images, card), images)


def test_grey_and_colour_become_each_other() -> None:
    grey = noise(5, 1, 8)
    np.testing.assert_array_equal(as_images(grey, DataSpec(3, 8)), np.repeat(grey, 3, 1))
    np.testing.assert_array_equal(as_images(np.repeat(grey, 3, 1), DataSpec(1, 8)), grey)
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)[:, :, None, None]
    expected = [round(255 * weight) for weight in (0.299, 0.587, 0.114)]
    assert as_images(colours, DataSpec(1, 1))[:, 0, 0, 0].tolist() == expected


def test_enlarging_is_bicubic_interpolation() -> None:
    """A constant stays; a ramp stays a ramp away from the edges, where Keys' kernel, a = -0.75, is exact."""
    assert (as_images(np.full((1, 1, 4, 4), 90, np.uint8), DataSpec(1, 16)) == 90).all()
    ramp = np.broadcast_to(np.arange(0, 256, 16, dtype=np.uint8), (1, 1, 16, 16)).copy()
    large = as_images(ramp, DataSpec(1, 32))[0, 0, 0].astype(int)
    # Output pixel i lies at (i + 1/2) / 2 - 1/2 of the input, which is t past an input pixel.
    for i in range(8, 24):
        place = (i + 0.5) / 2 - 0.5
        first, t = int(np.floor(place)), place % 1
        weights = [keys(1 + t), keys(t), keys(1 - t), keys(2 - t)]
        expected = sum(w * ramp[0, 0, 0, first - 1 + k] for k, w in enumerate(weights))
        assert large[i] == round(expected)


def keys(x: float, a: float = -0.75) -> float:
    """Keys 1981, Eq. 4, with torch's a."""
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a


def test_what_a_family_makes_of_the_image_itself_is_its_source() -> None:
    card, images = DataSpec(1, 8), split(6).images[:]
    upscaler = cast(
        Any, build("super_resolution", {**CONFIGS["super_resolution"], "scale": 2}, card).generator
    )
    small = reduced(torch.from_numpy(images) / 127.5 - 1, 4)
    expected = (enlarged(small, 8) * 127.5 + 127.5).round().to(torch.uint8)
    result = source_images(upscaler, card, n=6, seed=0, images=images)
    np.testing.assert_array_equal(result, expected)

    inpainter = cast(Any, build("inpainting", CONFIGS["inpainting"], card).generator)
    holes = source_images(inpainter, card, n=6, seed=0, images=images)
    assert holes is not None and ((holes == images) | (holes == 128)).all() and (holes != images).any()
    part = source_images(inpainter, card, n=2, seed=0, start=3, images=images)
    np.testing.assert_array_equal(part, holes[3:5])

    plain = build("autoencoder", CONFIGS["autoencoder"], card).generator
    assert source_images(plain, card, n=6, seed=0, images=images) is None


def test_sources_of_the_data_come_before_what_a_family_would_make() -> None:
    card, sources = DataSpec(1, 8, source=SourceShape(1, 4)), noise(6, 1, 4)
    upscaler = cast(Any, build("super_resolution", CONFIGS["super_resolution"], card).generator)
    assert upscaler.source_resolution == 4
    result = source_images(upscaler, card, n=3, seed=0, start=2, sources=sources)
    np.testing.assert_array_equal(result, as_images(sources[2:5], card))
    x = torch.from_numpy(sources[2:5]) / 127.5 - 1
    generated = upscaler.conditioning_image(Batch(3, source=x), Noise(range(3)))
    np.testing.assert_array_equal(result, (generated * 127.5 + 127.5).round().to(torch.uint8))
    with pytest.raises(ValueError, match="sources are in colour and images grey"):
        build("super_resolution", {}, DataSpec(1, 8, source=SourceShape(3, 4)))
