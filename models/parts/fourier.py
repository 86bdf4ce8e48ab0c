"""Fourier features as the input of a generator, which can be rotated and shifted exactly.

Karras et al. 2021, Alias-Free Generative Adversarial Networks, Sec. 3.1 and App. F.1,
https://arxiv.org/abs/2106.12423. The canvas has sides of 1 and its centre at 0; x points right and y down.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from models.family import Motion
from models.parts.equalised import EqualisedLinear


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
    """Waves over a canvas, mixed by a learned matrix. Their frequencies, uniform in a disc, stay fixed.

    Args:
        channels: Number of waves, and of channels of the result.
        size: Pixels of a side.
        bandwidth: Largest frequency, in cycles per side of the canvas.
        rate: Pixels per side of the canvas, if `size` includes a margin; None: `size`.
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(self, channels: int, size: int, bandwidth: float, rate: int | None = None):
        super().__init__()
        self.size, self.rate = size, rate or size
        radius, angle = torch.rand(channels, 1).sqrt() * bandwidth, torch.rand(channels, 1) * 2 * math.pi
        self.register_buffer("frequencies", radius * torch.cat([angle.cos(), angle.sin()], 1))  # (C, 2)
        self.register_buffer("phases", torch.rand(channels))
        self.weight = nn.Parameter(torch.randn(channels, channels))

    def forward(self, n: int, motion: Motion | None = None) -> Tensor:
        """The features of n images, moved if there is a `motion`, (n, channels, size, size)."""
        frequencies, phases = self.frequencies[None], self.phases[None]
        if motion is not None:
            frequencies, phases = moved(frequencies, phases, motion)
        return self.mixed(frequencies, phases).expand(n, -1, -1, -1)

    def mixed(self, frequencies: Tensor, phases: Tensor) -> Tensor:
        """The features of waves with frequencies (N, C, 2) and phases (N, C)."""
        x = waves(frequencies, phases, self.size, self.rate).contiguous(memory_format=torch.channels_last)
        return conv2d(x, self.weight[:, :, None, None] / math.sqrt(len(self.weight)))


class StyledFourierInput(FourierInput):
    """Fourier features that move as w asks for; at first, they do not. App. F.1.

    Args:
        width: Dimensions of w.
        channels: Of FourierInput, as the following ones.
        size: Pixels of a side.
        bandwidth: Largest frequency.
        rate: Pixels per side of the canvas.
    """

    def __init__(self, width: int, channels: int, size: int, bandwidth: float, rate: int):
        super().__init__(channels, size, bandwidth, rate)
        self.affine = EqualisedLinear(width, 4)
        assert self.affine.bias is not None
        with torch.no_grad():
            self.affine.weight.zero_()
            self.affine.bias[0] = 1

    def motion(self, w: Tensor) -> Motion:
        """The motion that w (N, width) asks for: (r_c, r_s, t_x, t_y) / |(r_c, r_s)|."""
        t = self.affine(w)
        t = t / t[:, :2].norm(dim=1, keepdim=True)
        return Motion(torch.atan2(t[:, 1], t[:, 0]), t[:, 2:])

    def forward(self, w: Tensor, motion: Motion | None = None) -> Tensor:  # type: ignore[override]
        """The features of styles w (N, width), moved further by `motion`: (N, channels, size, size)."""
        frequencies, phases = moved(self.frequencies[None], self.phases[None], self.motion(w))
        if motion is not None:
            frequencies, phases = moved(frequencies, phases, motion)
        return self.mixed(frequencies, phases)
