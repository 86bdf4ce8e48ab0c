"""The PSNR-oriented network: its scale, its loss by hand, and its samples of any size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from models.data_spec import DataSpec, SourceShape
from models.family import Batch, Noise
from models.parts.resizing import enlarged, reduced
from models.rrdb import RRDB, RRDBConfig, scale_of
from tests import tiny

pytestmark = pytest.mark.usefixtures("seeded")

CARD = DataSpec(3, 16, source=SourceShape(3, 4))


def rrdb(card: DataSpec = CARD, **settings: Any) -> RRDB:
    return RRDB(RRDBConfig(**{"width": 4, "growth": 2, "blocks": 1, **settings}), card)


def test_settings_are_the_paper_s() -> None:
    config = RRDBConfig()
    assert (config.width, config.growth, config.blocks) == (64, 32, 23)
    assert (config.lr, config.beta1, config.beta2) == (2e-4, 0.9, 0.999)


@pytest.mark.parametrize(("side", "source", "scale", "expected"), [
    (64, 16, None, 4), (64, 32, None, 2), (64, 32, 2, 2),
    (28, None, None, 4), (30, None, None, 2), (32, None, 2, 2),
])  # fmt: skip
def test_the_scale_is_that_of_the_data(
    side: int, source: int | None, scale: int | None, expected: int
) -> None:
    shape = SourceShape(3, source) if source else None
    assert scale_of(scale, DataSpec(3, side, source=shape)) == expected


def test_scale_3_is_refused() -> None:
    with pytest.raises(
        ValidationError, match="scale=3: the network doubles an image once or twice, so set 2"
    ):
        RRDBConfig(scale=3)


@pytest.mark.parametrize(("card", "settings", "match"), [
    (DataSpec(3, 63, source=SourceShape(3, 21)), {}, "have 21 pixels a side and images 63, .* 2 or 4"),
    (DataSpec(3, 16, source=SourceShape(3, 16)), {}, "have 16 pixels a side and images 16, .* 2 or 4"),
    (DataSpec(3, 16, source=SourceShape(3, 8)), {"scale": 4}, "8 pixels a side and images 16, .* enlarges 4"),
    (DataSpec(3, 16, source=SourceShape(1, 4)), {}, "sources are grey and images in colour; prepare both"),
    (DataSpec(3, 15), {}, "scale=2 must divide the resolution, 15"),
    (DataSpec(3, 30), {"scale": 4}, "scale=4 must divide the resolution, 30"),
])  # fmt: skip
def test_other_scales_are_refused(card: DataSpec, settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        rrdb(card, **settings)


def test_the_loss_is_the_mean_absolute_error() -> None:
    family, batch = rrdb(), tiny.noise_with_sources(4, CARD)
    assert batch.image is not None and batch.source is not None
    expected = (batch.image - family.generator.network(batch.source)).abs().mean((1, 2, 3))
    torch.testing.assert_close(family.loss(batch), {"l1": expected})


def test_without_sources_images_are_reduced() -> None:
    family, image = rrdb(DataSpec(3, 16)), torch.rand(2, 3, 16, 16)
    small = reduced(image, 4)
    expected = family.loss(Batch(2, image, source=small))
    torch.testing.assert_close(family.loss(Batch(2, image)), expected)
    noise = Noise(range(2))
    torch.testing.assert_close(
        family.generator.conditioning_image(Batch(2, image), noise), enlarged(small, 16)
    )


@pytest.mark.parametrize("shape", [(4, 4), (9, 5), (101, 97), (40, 131)])
def test_samples_of_any_size_are_whole_or_tiled(shape: tuple[int, int]) -> None:
    """Above 96 pixels in tiles, which differ from the whole by less than a level of 8 bits."""
    family, x = rrdb(tile=96).eval(), torch.rand(1, 3, *shape) * 2 - 1
    calls: list[int] = []
    family.generator.network.register_forward_hook(lambda m, args, out: calls.append(max(args[0].shape[2:])))
    with torch.no_grad():
        sample = family.generator.sample(Batch(1, source=x), Noise([0]))
        whole = family.generator.network(x).clamp(-1, 1)
    assert sample.shape == (1, 3, 4 * shape[0], 4 * shape[1])
    assert float((sample - whole).abs().max()) < 1 / 127.5
    assert (len(calls) > 2) == (max(shape) > 96) and max(calls[:-1]) <= 96
