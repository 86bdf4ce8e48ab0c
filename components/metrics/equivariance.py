"""Metrics of how exactly images move with the input of their generator. Karras et al. 2021, App. E.

Errors are mean squares over the pixels that both images show, of images in [-1, 1]; PSNR is 10 log10(4/mse).

To rotate an image is to filter it, and Eq. 32 does so with a product of sinc functions that turns too. Here
the filter is the same in all directions: a radial low-pass at 0.4 cycles per pixel. So both images are
filtered alike, and the corners of the spectrum are not compared.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from models.parts.filters import jinc, kaiser_beta

CUTOFF, HALF_WIDTH = 0.4, 0.1  # of the filter, in cycles per pixel
RADIUS = 4  # of the filter, in pixels
PEAK = 4.0  # the square of the range of images
PERFECT = 1e-10  # an error that counts as none: 106 dB


def decibel(mse: float) -> float:
    """Return the PSNR of a mean squared error of images in [-1, 1]. Eq. 18."""
    return 10 * math.log10(PEAK / max(mse, PERFECT))


def shift_errors(still: Tensor, there: Tensor, shift: Tensor) -> np.ndarray:
    """Return the errors of images whose input was shifted, (N,). Eq. 23 and 24.

    Args:
        still: (N, C, H, W), of the input as it was.
        there: The same of the shifted input.
        shift: Whole pixels to the right and down, (N, 2).
    """
    errors = []
    for a, b, (right, down) in zip(still, there, shift.tolist(), strict=True):
        rows, columns = overlap(a.shape[1], int(down)), overlap(a.shape[2], int(right))
        errors.append((a[:, rows[0], columns[0]] - b[:, rows[1], columns[1]]).square().mean())
    return torch.stack(errors).cpu().numpy()


def overlap(size: int, shift: int) -> tuple[slice, slice]:
    """Return where along an axis an image has what its shifted copy shows, and where the copy shows it."""
    common = size - abs(shift)
    first, second = max(-shift, 0), max(shift, 0)
    return slice(first, first + common), slice(second, second + common)


def rotation_errors(still: Tensor, there: Tensor, angle: Tensor) -> np.ndarray:
    """Return the errors of images whose input was rotated, (N,); NaN if they are too small. Eq. 29.

    Args:
        still: (N, C, H, W), of the input as it was.
        there: The same of the rotated input.
        angle: In radians, from x (right) to y (down), (N,).
    """
    turned, inside = rotated(still, angle)
    filtered, _ = rotated(there, torch.zeros_like(angle))
    squares = (turned - filtered).square().mean(1) * inside
    return (squares.sum((1, 2)) / inside.sum((1, 2))).cpu().numpy()


def rotated(x: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Return images filtered and rotated about their centres, and where they depend on the image alone.

    Args:
        x: (N, C, H, W).
        angle: In radians, from x (right) to y (down), (N,).

    Returns:
        (N, C, H, W) and a mask (N, H, W), which also leaves out what `angle` 0 takes from beyond the border.
    """
    height, width = x.shape[2:]
    middle = torch.tensor([(height - 1) / 2, (width - 1) / 2], device=x.device)
    down, right = torch.meshgrid(
        torch.arange(height, device=x.device) - middle[0],
        torch.arange(width, device=x.device) - middle[1],
        indexing="ij",
    )
    c, s = angle.cos()[:, None, None], angle.sin()[:, None, None]
    at = torch.stack([c * down - s * right + middle[0], s * down + c * right + middle[1]], 1)  # (N, 2, H, W)
    total, weights = torch.zeros_like(x), torch.zeros_like(at[:, :1])
    rows, images = at.floor().long(), torch.arange(len(x), device=x.device)[:, None, None]
    for i in range(1 - RADIUS, RADIUS + 1):
        for j in range(1 - RADIUS, RADIUS + 1):
            place = rows + torch.tensor([i, j], device=x.device)[:, None, None]
            weight = kernel((at - place).norm(dim=1, keepdim=True))  # (N, 1, H, W)
            y, z = place[:, 0].clamp(0, height - 1), place[:, 1].clamp(0, width - 1)
            total += weight * x[images, :, y, z].permute(0, 3, 1, 2)
            weights += weight
    inside = within(at, height, width) & within(
        torch.stack([down, right]) + middle[:, None, None], height, width
    )
    return total / weights, inside


def within(at: Tensor, height: int, width: int) -> Tensor:
    """Return at which places (..., 2, H, W) the filter lies within an image, (..., H, W)."""
    last = torch.tensor([height, width], device=at.device)[:, None, None] - 1 - RADIUS
    return ((at >= RADIUS) & (at <= last)).all(-3)


def kernel(distance: Tensor) -> Tensor:
    """Return jinc(2 f_c r) under a radial Kaiser window, 0 from RADIUS on."""
    beta = kaiser_beta(2 * RADIUS, 2 * HALF_WIDTH, 1.0)
    rest = (1 - (distance / RADIUS).square()).clamp(min=0)
    return jinc(2 * CUTOFF * distance) * torch.special.i0(beta * rest.sqrt()) * (rest > 0)
