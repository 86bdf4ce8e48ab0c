"""Layers with an equalised learning rate. Karras et al. 2018, Sec. 4.1, https://arxiv.org/abs/1710.10196.

Weights are drawn from N(0, 1) and scaled at run time by He's constant, 1 / sqrt(fan_in): Adam, whose steps do
not depend on the scale of a gradient, then changes all weights at the same relative rate. The activation is a
leaky ReLU times sqrt(2), which keeps the variance; weights and bias have the factor, which is the same.
"""

from __future__ import annotations

import math
from typing import TypedDict, Unpack

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, linear

from models.parts.upfirdn import upfirdn

SLOPE = 0.2  # of the leaky ReLU
GAIN = math.sqrt(2)  # of an activation; He et al. 2015


class Settings(TypedDict, total=False):
    """The settings of a layer, as Equalised takes them."""

    bias: float | None
    activation: bool
    gain: float
    lr_multiplier: float


class Equalised(nn.Module):
    """The weight and bias of a layer, and the factors that they have at run time.

    Args:
        shape: Shape of the weight, (after, before, ...).
        bias: Initial value of the bias; None: no bias.
        activation: Whether a leaky ReLU follows.
        gain: Further factor on the result.
        lr_multiplier: Factor on the learning rate.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        bias: float | None = 0.0,
        activation: bool = False,
        gain: float = 1.0,
        lr_multiplier: float = 1.0,
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape) / lr_multiplier)
        self.bias = None if bias is None else nn.Parameter(torch.full(shape[:1], bias / lr_multiplier))
        self.activation = activation
        self.gain = gain * (GAIN if activation else 1.0)
        self.bias_scale = lr_multiplier * self.gain
        self.scale = self.bias_scale / math.sqrt(math.prod(shape[1:]))

    def scaled(self) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias at run time."""
        return self.weight * self.scale, None if self.bias is None else self.bias * self.bias_scale

    def activated(self, y: Tensor) -> Tensor:
        """Apply the leaky ReLU, if one follows, to a fresh result."""
        return leaky_relu(y, SLOPE, inplace=True) if self.activation else y


class EqualisedLinear(Equalised):
    """A dense layer; the settings are those of Equalised."""

    def __init__(self, before: int, after: int, **settings: Unpack[Settings]):
        super().__init__((after, before), **settings)

    def forward(self, x: Tensor) -> Tensor:
        """(..., before) -> (..., after)."""
        return self.activated(linear(x, *self.scaled()))


class EqualisedConv(Equalised):
    """A convolution of odd size that keeps, or with the filter `down` halves, the size of an image."""

    filter: Tensor | None

    def __init__(
        self, before: int, after: int, size: int, *, down: Tensor | None = None, **settings: Unpack[Settings]
    ):
        super().__init__((after, before, size, size), **settings)
        self.register_buffer("filter", down, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) -> (N, after, H, W), or half of H and W."""
        weight, bias = self.scaled()
        if self.filter is None:
            return self.activated(conv2d(x, weight, bias, padding=weight.shape[-1] // 2))
        return self.activated(conv_down(x, weight, self.filter, bias))


def conv_down(x: Tensor, weight: Tensor, f: Tensor, bias: Tensor | None = None) -> Tensor:
    """Filter with f (K, K), convolve and keep every second pixel: (N, I, H, W) -> (N, O, H / 2, W / 2)."""
    margin = weight.shape[-1] // 2
    total = f.shape[0] - 2  # padding of the filter alone, as in `downsample`
    before, after = (total + 1) // 2 + margin, total // 2 + margin
    if weight.shape[-1] == 1:  # the filter can skip what the convolution would
        return conv2d(upfirdn(x, f, down=2, padding=(before, after)), weight, bias)
    return conv2d(upfirdn(x, f, padding=(before, after)), weight, bias, stride=2)


def conv_up(x: Tensor, weight: Tensor, f: Tensor) -> Tensor:
    """Insert zeros, convolve and filter with f (K, K): (N, I, H, W) -> (N, O, 2 H, 2 W).

    The convolution is a true one, which mirrors the kernel; that makes no difference to a learned one.
    """
    y = conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # (N, O, 2 H - 2 + k, ...)
    # The padding of `upsample`, less that which the transposed convolution has added and half of k - 1.
    k, size = weight.shape[-1], f.shape[0]
    before = (size + 1) // 2 - (k - 1) // 2
    after = (size - 2) // 2 + 1 - (k - 1) // 2
    return upfirdn(y, f, padding=(before, after), gain=4.0)
