"""Fourier features as the input of a generator, which can be translated and rotated exactly.

Karras et al. 2021, Alias-Free Generative Adversarial Networks, Sec. 2.2 and 3.1 (configuration B),
https://arxiv.org/abs/2106.12423.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class FourierInput(nn.Module):
    """sin(2 pi (f_c . p + phi_c)) for each channel c, mixed by a learned linear map.

    The coordinates p of an image are from -1/2 to 1/2, at the centres of its pixels. The frequencies f are
    uniform in a disc and stay fixed, as do the phases phi.

    Args:
        channels: Number of features, and of channels of the result.
        size: Pixels on a side.
        bandwidth: Largest frequency, in cycles per image; at most half of `size`.
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(self, channels: int, size: int, bandwidth: float):
        super().__init__()
        self.size = size
        radius, angle = torch.rand(channels, 1).sqrt() * bandwidth, torch.rand(channels, 1) * 2 * math.pi
        self.register_buffer("frequencies", radius * torch.cat([angle.cos(), angle.sin()], 1))  # (C, 2)
        self.register_buffer("phases", torch.rand(channels))
        self.weight = nn.Parameter(torch.randn(channels, channels))

    def forward(self, n: int, transform: Tensor | None = None) -> Tensor:
        """The features, (n, channels, size, size).

        Args:
            n: Number of images.
            transform: Homogeneous matrices from the coordinates of the result to those of the features,
                (n, 3, 3) or (3, 3). A last column (t, 0, 1) moves the image by t to the left.
        """
        points = (torch.arange(self.size, device=self.phases.device) + 0.5) / self.size - 0.5
        x, y = torch.meshgrid(points, points, indexing="xy")
        p = torch.stack([x, y, torch.ones_like(x)], 2)  # (size, size, 3)
        if transform is not None:
            p = torch.einsum("...ij,hwj->...hwi", transform, p)
        angle = p[..., :2] @ self.frequencies.T + self.phases  # ([n,] size, size, C)
        features = (2 * math.pi * angle).sin() @ (self.weight.T / math.sqrt(len(self.weight)))
        return features.expand(n, -1, -1, -1).permute(0, 3, 1, 2)
