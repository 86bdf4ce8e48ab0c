"""Shapes that halve and double, the optimizer, and BatchNorm's statistics."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from models import family
from models.family import Batch, Noise
from models.parts import layers


@pytest.mark.parametrize("resolution", [8, 9, 15, 20, 28, 32, 60, 64])
def test_what_goes_down_comes_up_at_its_size(resolution: int) -> None:
    sizes = layers.halvings(resolution)
    assert sizes[0] == resolution and 3 <= sizes[-1] <= 5
    for size, half in zip(sizes, sizes[1:], strict=False):
        x = torch.zeros(1, 2, size, size)
        assert layers.down(2, 3)(x).shape == (1, 3, half, half)
        assert layers.up(3, 2, size)(layers.down(2, 3)(x)).shape == x.shape


def test_adam_without_decay_is_adam() -> None:
    torch.manual_seed(0)
    ours, reference = nn.Linear(3, 2), nn.Linear(3, 2)
    reference.load_state_dict(ours.state_dict())
    optimizers = [layers.adam(ours, lr=0.1, betas=(0.5, 0.9))]
    optimizers += [torch.optim.Adam(reference.parameters(), lr=0.1, betas=(0.5, 0.9), fused=False)]
    x = torch.randn(4, 3)
    for _ in range(5):
        for module, optimizer in zip((ours, reference), optimizers, strict=True):
            optimizer.zero_grad()
            module(x).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, reference.weight)


UPDATE = """
import sys, torch
from models.parts import layers
x = torch.ones(1, 2, requires_grad=True)
for optimizer in layers.adam(torch.nn.Linear(2, 1), lr=0.1), layers.RMSProp([x]):
    optimizer.zero_grad()
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
sys.exit("torch._dynamo" in sys.modules)
"""


def test_an_optimizer_does_without_the_compiler() -> None:
    subprocess.run([sys.executable, "-c", UPDATE], check=True)


class Normalised(family.Generator):
    """BatchNorm of 3 z + 1, and dropout, which calibration must leave asleep."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.dropout = nn.BatchNorm1d(2, momentum=0.3), nn.Dropout(0.5)

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        return self.norm(self.dropout(3 * noise(2) + 1))


def draws() -> list[tuple[Batch, Noise]]:
    return [(Batch(8), Noise(range(start, start + 8))) for start in (0, 8, 16)]


def test_calibration_is_the_mean_over_fixed_seeds() -> None:
    generator = Normalised()
    assert layers.has_batch_norm(generator) and not layers.has_batch_norm(nn.Linear(1, 1))
    layers.calibrate(generator, draws())
    values = torch.stack([3 * noise(2) + 1 for _, noise in draws()])  # (3, 8, 2)
    torch.testing.assert_close(generator.norm.running_mean, values.mean((0, 1)))
    torch.testing.assert_close(generator.norm.running_var, values.var(1).mean(0))
    assert generator.norm.momentum == 0.3 and generator.training and generator.norm.training


def test_calibration_forgets_what_was_before_and_keeps_the_mode() -> None:
    first, second = Normalised(), Normalised().eval()
    second.norm.running_mean.fill_(5.0)
    for generator in (first, second):
        layers.calibrate(generator, draws())
    assert torch.equal(first.norm.running_mean, second.norm.running_mean)
    assert not second.training and not second.norm.training


def test_images_leave_in_float32_and_in_range() -> None:
    image = layers.to_image(torch.tensor([-3, 0.5, 3], dtype=torch.bfloat16))
    assert image.dtype == torch.float32 and image.tolist() == [-1, 0.5, 1]


@pytest.mark.parametrize("images", [1, 3])
def test_instance_norm_is_torch_s_and_keeps_channels_last(images: int) -> None:
    """With first and second derivatives, which gradient penalties need."""
    torch.manual_seed(0)
    channels_last = torch.channels_last
    values, weight = torch.randn(images, 4, 5, 6, dtype=torch.float64), torch.randn(images, 4, 5, 6).double()
    norm = layers.InstanceNorm(4)

    def derivatives(x: Tensor, y: Tensor) -> list[Tensor]:
        (slope,) = torch.autograd.grad((y * weight).sum(), x, create_graph=True)
        (curvature,) = torch.autograd.grad(slope.square().sum(), x)
        return [y, slope, curvature]

    x = values.contiguous(memory_format=channels_last).requires_grad_()
    z = values.clone().requires_grad_()
    y = norm(x)
    assert y.is_contiguous(memory_format=channels_last)
    for ours, reference in zip(derivatives(x, y), derivatives(z, nn.InstanceNorm2d(4)(z)), strict=True):
        torch.testing.assert_close(ours.contiguous(), reference)
