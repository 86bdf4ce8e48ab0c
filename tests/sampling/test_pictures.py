"""Pictures of a user's files by generators that take any size: alpha, colours, and bounded batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from components.common.errors import InputError
from components.records.model import ModelConfig
from components.sampling.pictures import OpenModel, pictures
from components.sampling.request import SampleOptions
from models.data_spec import DataSpec
from models.family import Batch, Generator, Noise


class Doubles(Generator):
    """Every pixel becomes four."""

    source_resolution = 4

    def enlarge(self, x: Tensor) -> Tensor:
        return interpolate(x, scale_factor=2)

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        assert batch.source is not None
        return self.enlarge(batch.source)


def opened(channels: int, background: str | None = None, **options: object) -> OpenModel:
    card = DataSpec(channels, 8)
    config = ModelConfig(family="super_resolution", config={}, card=card.to_json(), background=background)
    return OpenModel(Doubles(), card, config, "sample", SampleOptions(**options))


def enlarged(image: Image.Image, tmp_path: Path, model: OpenModel) -> np.ndarray:
    image.save(tmp_path / "source.png")
    (picture,) = pictures(model, [tmp_path / "source.png"], seed=0)
    return np.asarray(picture)


def test_images_of_any_size_are_enlarged_whole(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (5, 9, 3), np.uint8)
    picture = enlarged(Image.fromarray(noise), tmp_path, opened(3))
    np.testing.assert_array_equal(picture, noise.repeat(2, 0).repeat(2, 1))
    grey = enlarged(Image.fromarray(noise[..., 0]), tmp_path, opened(1))
    np.testing.assert_array_equal(grey, noise[..., 0].repeat(2, 0).repeat(2, 1))


def test_transparency_is_enlarged_and_put_back(tmp_path: Path) -> None:
    """Colours are restored from what the network saw: the picture on the training background."""
    alpha = np.tile(np.uint8([0, 0, 0, 128, 255, 255, 255]), (6, 1))
    image = np.dstack([np.full((6, 7, 3), (120, 100, 80), np.uint8), alpha])
    picture = enlarged(Image.fromarray(image), tmp_path, opened(3, background="#204060"))
    expected = Image.fromarray(alpha).resize((14, 12), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(picture[..., 3], expected)
    opaque = picture[..., 3] == 255
    assert opaque.any() and (picture[opaque][:, :3] == (120, 100, 80)).all()
    half = picture[:, 6:8]  # of the pixels of 128
    blended = np.array([120, 100, 80]) * 128 / 255 + np.array([0x20, 0x40, 0x60]) * 127 / 255
    on_background = half[..., :3] * (half[..., 3:] / 255) + (0x20, 0x40, 0x60) * (1 - half[..., 3:] / 255)
    inside = (on_background - blended).reshape(-1, 3)
    assert np.abs(inside).max() < 2, "on the background it looks as the network left it"
    two = enlarged(Image.fromarray(image).convert("LA"), tmp_path, opened(1))
    assert two.shape == (12, 14, 2)


def test_what_such_a_generator_does_not_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--label: super_resolution takes an image alone"):
        enlarged(Image.new("L", (4, 4)), tmp_path, opened(1, label="3"))
