"""PatchGAN: what a score depends on, and the layers of each size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from models.parts.discriminator import MinibatchDiscrimination, MinibatchStddev
from models.parts.patches import PatchDiscriminator, num_halvings
from models.pix2pix import Pix2PixConfig

pytestmark = pytest.mark.usefixtures("seeded")


def patches(patch: Any, resolution: int, *, width: int = 2, norm: Any = None, **settings: Any) -> Any:
    return PatchDiscriminator(
        3, resolution, patch, width=width, norm=norm, config=Pix2PixConfig(norm="none", **settings)
    )


def extent(network: nn.Module, resolution: int) -> tuple[int, int]:
    """Rows and columns on which the score in the middle depends, by its gradient."""
    x = torch.randn(1, 3, resolution, resolution, dtype=torch.float64).requires_grad_()
    score = network.double()(x)
    (slope,) = torch.autograd.grad(score[0, score.shape[1] // 2, score.shape[2] // 2], x)
    touched = slope[0].abs().sum(0) > 0
    rows, columns = (touched.any(axis).nonzero().flatten() for axis in (1, 0))
    return int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1


@pytest.mark.parametrize(
    ("patch", "resolution"), [(1, 8), (16, 48), (34, 96), (70, 160), (142, 300), (286, 600)]
)
def test_a_score_depends_on_a_patch(patch: int, resolution: int) -> None:
    assert extent(patches(patch, resolution), resolution) == (patch, patch)


@pytest.mark.parametrize(("resolution", "halvings", "pixels"), [
    (8, 1, 16), (16, 1, 16), (17, 2, 34), (28, 2, 34), (32, 2, 34), (64, 3, 70), (128, 4, 142), (256, 5, 286),
])  # fmt: skip
def test_the_whole_image_is_the_first_patch_that_covers_it(
    resolution: int, halvings: int, pixels: int
) -> None:
    assert num_halvings("image", resolution) == halvings and num_halvings(pixels, 2048) == halvings  # type: ignore[arg-type]
    if resolution <= 64:
        network, x = patches("image", resolution), torch.randn(1, 3, resolution, resolution)
        x.requires_grad_()
        (slope,) = torch.autograd.grad(network(x).sum(), x)
        assert slope.abs().sum(1).min() > 0


@pytest.mark.parametrize(("patch", "widths"), [
    (1, [64, 128]), (16, [64, 128]), (70, [64, 128, 256, 512]), (286, [64, 128, 256, 512, 512, 512]),
])  # fmt: skip
def test_layers_are_the_paper_s(patch: int, widths: list[int]) -> None:
    """App. 6.1.2, with BatchNorm after all but the first layer, and a last convolution to one channel."""
    with torch.device("meta"):
        network = patches(patch, 512, width=64, norm=nn.BatchNorm2d)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    norms = [m.num_features for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [m.out_channels for m in convolutions] == [*widths, 1] and norms == widths[1:]
    assert {m.kernel_size for m in convolutions} == {(1, 1) if patch == 1 else (4, 4)}
    assert [m.stride[0] for m in convolutions[-2:]] == [1, 1]
    assert [m.bias is None for m in convolutions] == [False, *[True] * (len(widths) - 1), False]


@pytest.mark.parametrize(("patch", "resolution", "least"), [(16, 5, 6), (70, 16, 24), (286, 64, 96)])
def test_images_too_small_for_a_patch_are_refused(patch: Any, resolution: int, least: int) -> None:
    with pytest.raises(ValueError, match=f"patch={patch} must have images of {least} pixels or more"):
        patches(patch, resolution)
    assert patches(patch, least)(torch.zeros(1, 3, least, least)).shape == (1, 1, 1)


def test_statistics_of_the_batch_enter_every_patch() -> None:
    network = patches(16, 32, minibatch_discrimination=3, minibatch_stddev=2)
    assert [type(s) for s in network.statistics] == [MinibatchDiscrimination, MinibatchStddev]
    assert network.score.in_channels == 4 + 3 + 1
    x = torch.randn(4, 3, 32, 32).requires_grad_()
    (slope,) = torch.autograd.grad(network(x)[0].sum(), x)
    assert slope.flatten(1).abs().sum(1).min() > 0, "also the other images of the batch"
    (slope,) = torch.autograd.grad(patches(16, 32)(x)[0].sum(), x)
    assert slope[1:].abs().sum() == 0
