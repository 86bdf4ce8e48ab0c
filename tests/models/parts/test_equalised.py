"""Layers with an equalised learning rate against plain ones; convolutions that resample against loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, linear

from models.parts.equalised import EqualisedConv, EqualisedLinear, conv_up
from models.parts.upfirdn import fir_filter
from tests.models.parts.derivatives import assert_equal_derivatives

TAPS = fir_filter([1, 3, 3, 1])
F = TAPS.double()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def call(layer: nn.Module, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The layer with other parameters."""
    return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))


def activated(y: Tensor) -> Tensor:
    return math.sqrt(2) * leaky_relu(y, 0.2)


def test_a_dense_layer_scales_its_weights() -> None:
    layer = EqualisedLinear(6, 5, bias=1.0, activation=True, lr_multiplier=0.01, gain=0.5).double()
    assert layer.weight.std().item() == pytest.approx(100, rel=0.4) and bool((layer.bias == 100).all())

    def slow(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return 0.5 * activated(linear(x, weight * 0.01 / math.sqrt(6), bias * 0.01))

    inputs = torch.randn(4, 6), layer.weight, layer.bias
    assert_equal_derivatives(lambda *values: call(layer, *values), slow, *inputs)


def filtered(weight: Tensor) -> Tensor:
    """The kernels (O, I, k, k) with the filter in them, (O, I, k + 3, k + 3)."""
    one = weight.flatten(0, 1)[:, None]
    return conv2d(one, F[None, None], padding=3).view(*weight.shape[:2], *(s + 3 for s in weight.shape[2:]))


@pytest.mark.parametrize("size", [1, 3])
def test_a_convolution_scales_its_weights(size: int) -> None:
    layer = EqualisedConv(2, 3, size, activation=True).double()

    def slow(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        weight = weight / math.sqrt(2 * size**2)
        return activated(conv2d(x, weight, padding=size // 2) + bias[:, None, None])

    inputs = torch.randn(2, 2, 6, 6), layer.weight, torch.randn(3)
    assert_equal_derivatives(lambda *values: call(layer, *values), slow, *inputs)


@pytest.mark.parametrize("size", [1, 3])
def test_a_shrinking_convolution_is_one_with_a_larger_kernel(size: int) -> None:
    layer = EqualisedConv(2, 3, size, down=F, activation=True, gain=math.sqrt(0.5)).double()
    assert layer(torch.randn(1, 2, 8, 8).double()).shape == (1, 3, 4, 4)

    def slow(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        kernel = filtered(weight) / math.sqrt(2 * size**2)
        y = conv2d(x, kernel, stride=2, padding=1 + size // 2) + bias[:, None, None]
        return math.sqrt(0.5) * activated(y)

    inputs = torch.randn(2, 2, 6, 6), layer.weight, torch.randn(3)
    assert_equal_derivatives(lambda *values: call(layer, *values), slow, *inputs)


@pytest.mark.parametrize("size", [1, 3])
def test_an_enlarging_convolution_is_one_with_a_larger_kernel(size: int) -> None:
    def slow(x: Tensor, weight: Tensor) -> Tensor:
        kernel = 4 * filtered(weight).transpose(0, 1)
        return conv_transpose2d(x, kernel, stride=2, padding=1 + size // 2)

    inputs = torch.randn(2, 2, 5, 5), torch.randn(3, 2, size, size)
    assert conv_up(*inputs, TAPS).shape == (2, 3, 10, 10)
    assert_equal_derivatives(lambda x, weight: conv_up(x, weight, F), slow, *inputs)


def test_an_activation_keeps_the_variance() -> None:
    """Of its inputs' second moment, which He's factor is for; the leaky ReLU's slope adds 4 %."""
    layer = EqualisedLinear(512, 512, activation=True)
    x = torch.randn(512, 512)
    assert layer(x).square().mean().item() == pytest.approx(1.04, abs=0.02)


def test_a_layer_shrinks_with_its_learning_rate() -> None:
    """A step of Adam, which is as large as the learning rate, moves all layers by the same share."""
    for lr_multiplier in (1.0, 0.01):
        layer = EqualisedLinear(64, 64, lr_multiplier=lr_multiplier)
        assert layer.scaled()[0].std().item() == pytest.approx(1 / 8, rel=0.05)
        step = layer.scale * 0.002  # of the weight at run time
        assert step == pytest.approx(lr_multiplier * 0.002 / 8)
