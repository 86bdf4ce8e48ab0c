"""RRDBNet, the network of ESRGAN: residual-in-residual dense blocks without BatchNorm.

Wang et al. 2018, Sec. 3.1, https://arxiv.org/abs/1809.00219. All its layers are convolutions, so that
sources may have any size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu

SCALES = (2, 4)
RESIDUAL = 0.2  # beta, by which residuals are multiplied, Sec. 3.1
INITIAL = 0.1  # by which the initial weights of dense blocks are multiplied, Sec. 3.1
SLOPE = 0.2  # of LeakyReLU


def conv3(before: int, after: int) -> nn.Conv2d:
    """A 3 x 3 convolution that keeps the size."""
    return nn.Conv2d(before, after, 3, padding=1)


class DenseBlock(nn.Module):
    """x + beta f(x), f being five convolutions each of which sees x and the results of all before it."""

    def __init__(self, width: int, growth: int):
        super().__init__()
        inner = [conv3(width + i * growth, growth) for i in range(4)]
        self.layers = nn.ModuleList([*inner, conv3(width + 4 * growth, width)])
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight)  # type: ignore[arg-type]
            layer.weight.data.mul_(INITIAL)  # type: ignore[operator]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> (N, width, H, W)."""
        h = x
        for layer in self.layers[:-1]:
            h = torch.cat([h, leaky_relu(layer(h), SLOPE)], 1)
        return x + RESIDUAL * self.layers[-1](h)


class ResidualInResidual(nn.Module):
    """An RRDB: x + beta f(x), f being three dense blocks."""

    def __init__(self, width: int, growth: int):
        super().__init__()
        self.blocks = nn.Sequential(*(DenseBlock(width, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> (N, width, H, W)."""
        return x + RESIDUAL * self.blocks(x)


class RRDBNet(nn.Module):
    """Enlarges images 2 or 4 times: RRDBs at the size of the source, then a doubling or two.

    Args:
        channels: Channels of images.
        scale: 2 or 4.
        width: Channels of feature maps.
        growth: Channels that each convolution of a dense block adds.
        blocks: RRDBs.
    """

    def __init__(self, channels: int, *, scale: int, width: int, growth: int, blocks: int):
        super().__init__()
        assert scale in SCALES, scale
        self.scale = scale
        self.first = conv3(channels, width)
        self.body = nn.Sequential(
            *(ResidualInResidual(width, growth) for _ in range(blocks)), conv3(width, width)
        )
        self.up = nn.ModuleList(conv3(width, width) for _ in range(scale // 2))
        self.hr, self.last = conv3(width, width), conv3(width, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, scale H, scale W)."""
        h = self.first(x)
        h = h + self.body(h)
        for layer in self.up:
            h = leaky_relu(layer(interpolate(h, scale_factor=2, mode="nearest")), SLOPE)
        return self.last(leaky_relu(self.hr(h), SLOPE))
