"""Fourier features: waves over a canvas, which can be rotated and shifted exactly.

Karras et al. 2021, Sec. 3.1 and App. F.1, https://arxiv.org/abs/2106.12423. The canvas has sides of 1 and its
centre at 0; x points right and y down.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from models.family import Motion
from models.parts.equalised import EqualisedLinear
from models.parts.filters import Band


def in_disc(n: int, radius: float) -> Tensor:
    """Return points drawn uniformly from a disc around 0, (n, 2)."""
    angle, distance = 2 * math.pi * torch.rand(n), radius * torch.rand(n).sqrt()
    return torch.stack([distance * angle.cos(), distance * angle.sin()], 1)


def waves(frequencies: Tensor, phases: Tensor, size: int, rate: float) -> Tensor:
    """Return sin(2 pi (f x + phi)) at the pixels x of a canvas with its margin, (N, C, size, size).

    Args:
        frequencies: f, (N, C, 2), in cycles per side.
        phases: phi, (N, C), in cycles.
        size: Pixels of a side with the margin.
        rate: Pixels per side without it.
    """
    at = (torch.arange(size, device=phases.device) - (size - 1) / 2) / rate
    along_x, along_y = (frequencies[..., axis, None] * at for axis in (0, 1))  # (N, C, size)
    cycles = (along_y + phases[..., None])[..., None] + along_x[:, :, None]
    return torch.sin(2 * math.pi * cycles)


def moved(frequencies: Tensor, phases: Tensor, motion: Motion) -> tuple[Tensor, Tensor]:
    """Return frequencies and phases of the rotated and shifted waves z(R^-1 (x - t)): R f and phi - R f t."""
    c, s = motion.angle.cos()[:, None], motion.angle.sin()[:, None]
    x, y = frequencies.unbind(-1)
    turned = torch.stack([c * x - s * y, s * x + c * y], -1)  # (N, C, 2)
    return turned, phases - (turned * motion.shift[:, None]).sum(-1)


class FourierInput(nn.Module):
    """The input of a synthesis network: waves, moved as w asks for, and mixed by a matrix.

    Args:
        width: Dimensions of w.
        channels: Number of waves and of channels.
        band: Their frequencies, up to its cutoff, and their pixels.
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(self, width: int, channels: int, band: Band):
        super().__init__()
        self.band = band
        self.register_buffer("frequencies", in_disc(channels, band.cutoff))
        self.register_buffer("phases", torch.rand(channels) - 0.5)
        self.weight = nn.Parameter(torch.randn(channels, channels, 1, 1))
        self.affine = EqualisedLinear(width, 4)
        assert self.affine.bias is not None
        with torch.no_grad():  # no motion at first
            self.affine.weight.zero_()
            self.affine.bias[0] = 1

    def motion(self, w: Tensor) -> Motion:
        """The motion that w (N, width) asks for: (r_c, r_s, t_x, t_y) / |(r_c, r_s)|."""
        t = self.affine(w)
        t = t / t[:, :2].norm(dim=1, keepdim=True)
        return Motion(torch.atan2(t[:, 1], t[:, 0]), t[:, 2:])

    def forward(self, w: Tensor, motion: Motion | None = None) -> Tensor:
        """The features of styles w (N, width), moved further by `motion`: (N, C, size, size)."""
        frequencies, phases = self.frequencies.expand(len(w), -1, -1), self.phases.expand(len(w), -1)
        frequencies, phases = moved(frequencies, phases, self.motion(w))
        if motion is not None:
            frequencies, phases = moved(frequencies, phases, motion)
        x = waves(frequencies, phases, self.band.size, self.band.rate)
        x = x.contiguous(memory_format=torch.channels_last)
        return conv2d(x, self.weight / math.sqrt(self.weight.shape[1]))
