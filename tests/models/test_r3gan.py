"""R3GAN's residual networks."""

from __future__ import annotations

import math

import pytest
import torch

from models import r3gan
from models.data_spec import DataSpec

CARD = DataSpec(1, 8, 10)
SMALL = {"width": 8, "group_width": 4, "latent": 8}


def test_residual_branches_start_at_zero() -> None:
    x = torch.randn(2, 8, 4, 4)
    block = r3gan.Residual(r3gan.R3GANConfig(**SMALL), 8, 3)
    assert torch.equal(block(x), x)


def test_a_branch_of_more_blocks_starts_with_smaller_weights() -> None:
    torch.manual_seed(0)
    layer = r3gan.scaled(torch.nn.Conv2d(64, 64, 3), 2.0)
    assert layer.weight.std().item() == pytest.approx(2 / math.sqrt(64 * 9), rel=0.02)
    assert layer.bias is not None and not layer.bias.any()


@pytest.mark.parametrize(("before", "after", "from_size", "size"), [(4, 6, 8, 4), (4, 6, 4, 8), (4, 4, 3, 7)])
def test_the_convolution_and_the_resizing_commute(before: int, after: int, from_size: int, size: int) -> None:
    resize = r3gan.Resize(before, after, size)
    x = torch.randn(2, before, from_size, from_size)
    assert resize(x).shape == (2, after, size, size)
    torch.testing.assert_close(resize._resized(resize.mix(x)), resize.mix(resize._resized(x)))


@pytest.mark.parametrize(("before", "after"), [(7, 3), (14, 7), (15, 7)])
def test_shrinking_reads_every_pixel(before: int, after: int) -> None:
    resize = r3gan.Resize(1, 1, after)
    read = resize(torch.eye(before**2).view(-1, 1, before, before)).sum((1, 2, 3))
    assert (read > 0).all() and float(read.sum()) == pytest.approx(after**2)
    x = torch.randn(1, 1, before, before, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: resize._resized(x).square(), x), "penalties need this"
    if before == 2 * after:
        torch.testing.assert_close(resize(x), torch.nn.functional.avg_pool2d(x, 2))


@pytest.mark.parametrize("patch", [1, 2])
def test_the_discriminator_reads_what_the_generator_makes(patch: int) -> None:
    config = r3gan.R3GANConfig(**SMALL, patch=patch)
    images = r3gan.Generator(config, CARD)(torch.randn(3, 8))
    features = r3gan.Features(config, CARD)
    assert images.shape == (3, *CARD.shape) and features(images).shape == (3, features.width)


def test_patches_that_do_not_divide_the_image_are_refused() -> None:
    with pytest.raises(ValueError, match="patch=3 must divide the resolution"):
        r3gan.R3GAN(r3gan.R3GANConfig(**SMALL, patch=3), CARD)
