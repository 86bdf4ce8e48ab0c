"""Bicubic interpolation of images: reduced with antialiasing, and enlarged."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate


def reduced(image: Tensor, side: int) -> Tensor:
    """Reduce images to (N, C, side, side) by antialiased bicubic interpolation."""
    return interpolate(image.float(), size=(side, side), mode="bicubic", antialias=True).clamp(-1, 1)


def enlarged(source: Tensor, resolution: int) -> Tensor:
    """Enlarge small images to (N, C, resolution, resolution) by bicubic interpolation."""
    large = interpolate(source.float(), size=(resolution, resolution), mode="bicubic", align_corners=False)
    return large.clamp(-1, 1)
