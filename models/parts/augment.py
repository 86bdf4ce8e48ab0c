"""Differentiable augmentations of the discriminator's inputs, images and samples alike.

DiffAugment, Zhao et al. 2020 (https://arxiv.org/abs/2006.10738), applies colour, translation and cutout to
every image. Adaptive augmentation (ADA), Karras et al. 2020 (https://arxiv.org/abs/2006.06676), applies each
with a probability p that starts at 0 and rises while D overfits. With p < 1 augmentations do not leak into
the samples (their Sec. 2.2). Those of DiffAugment do not mirror images, which would be wrong for digits and
letters where p is 1; those of ADA's own pipeline do (models/parts/ada.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from models.parts import ada


def uniform(x: Tensor, low: float, high: float) -> Tensor:
    """Return one uniform random number per image, (N, 1, 1, 1)."""
    return torch.empty(len(x), 1, 1, 1, device=x.device).uniform_(low, high)


def colour(x: Tensor) -> Tensor:
    """Change brightness by up to 0.5, and saturation and contrast by factors of 0 to 2 and 0.5 to 1.5."""
    x = x + uniform(x, -0.5, 0.5)
    if x.shape[1] > 1:
        grey = x.mean(1, keepdim=True)
        x = grey + (x - grey) * uniform(x, 0, 2)
    mean = x.mean([1, 2, 3], keepdim=True)
    return mean + (x - mean) * uniform(x, 0.5, 1.5)


def translation(x: Tensor, most: int | None = None) -> Tensor:
    """Translate by whole pixels, up to `most` or an eighth of the size each way, repeating the border."""
    n, _, height, width = x.shape
    reach = [most or max(1, round(size / 8)) for size in (height, width)]
    shifts = [torch.randint(-r, r + 1, (n, 1), device=x.device) for r in reach]
    rows = (torch.arange(height, device=x.device) + shifts[0]).clamp(0, height - 1)  # (N, H)
    columns = (torch.arange(width, device=x.device) + shifts[1]).clamp(0, width - 1)
    batch = torch.arange(n, device=x.device)[:, None, None]
    return x.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


def cutout(x: Tensor) -> Tensor:
    """Fill a square of half the size, centred anywhere in the image, with mid-grey."""
    n, _, height, width = x.shape
    inside = []
    for size in (height, width):
        side = size // 2
        # The centre of an even number of pixels is one of the size + 1 lines between pixels.
        centre = torch.randint(size + 1 - side % 2, (n, 1), device=x.device)
        offset = torch.arange(size, device=x.device) - centre + side // 2
        inside.append((offset >= 0) & (offset < side))
    hole = inside[0][:, None, :, None] & inside[1][:, None, None]  # (N, 1, H, W)
    return x.masked_fill(hole, 0)


def geometry(x: Tensor) -> Tensor:
    """Rotate by up to 30 degrees about the centre and scale by a factor of 2^(+-0.3), bilinear."""
    angle, scale = uniform(x, -math.pi / 6, math.pi / 6), 2 ** uniform(x, -0.3, 0.3)
    return warp(x, angle.cos() / scale, angle.sin() / scale)


def warp(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Sample image i at the points [[a, -b], [b, a]] p, p from the centre, bilinear, repeating the border.

    It uses four gathers because grid_sample has no second derivative, which gradient penalties need.
    """
    n, _, height, width = x.shape
    x = pad(x, [1, 1, 1, 1], mode="replicate")
    v = torch.arange(height, device=x.device)[:, None] - (height - 1) / 2
    u = torch.arange(width, device=x.device)[None] - (width - 1) / 2
    a, b = a.view(n, 1, 1), b.view(n, 1, 1)
    column = (a * u - b * v + (width - 1) / 2).clamp(-1, width) + 1  # (N, H, W), in the padded image
    row = (b * u + a * v + (height - 1) / 2).clamp(-1, height) + 1
    left, top = column.floor().long().clamp(max=width), row.floor().long().clamp(max=height)
    s, t = (column - left)[..., None], (row - top)[..., None]
    pixels, batch = x.permute(0, 2, 3, 1), torch.arange(n, device=x.device)[:, None, None]
    above = (1 - s) * pixels[batch, top, left] + s * pixels[batch, top, left + 1]
    below = (1 - s) * pixels[batch, top + 1, left] + s * pixels[batch, top + 1, left + 1]
    return ((1 - t) * above + t * below).permute(0, 3, 1, 2)


def enlarged_crops(x: Tensor, jitter: float) -> Tensor:
    """Enlarge images by a factor of 1 + jitter, bicubic, and crop each at random to its former size."""
    n, _, _, side = x.shape
    size = round(side * (1 + jitter))
    if size == side:
        return x
    large = interpolate(x, size=(size, size), mode="bicubic", align_corners=False).clamp(-1, 1)
    crops = [torch.randint(size - side + 1, (n, 1), device=x.device) for _ in range(2)]
    rows, columns = (crop + torch.arange(side, device=x.device) for crop in crops)  # (N, H) and (N, W)
    batch = torch.arange(n, device=x.device)[:, None, None]
    return large.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "colour": colour,
    "translation": translation,
    "cutout": cutout,
    "geometry": geometry,
}


def augmented(x: Tensor, kinds: Sequence[str], p: Tensor | float = 1.0) -> Tensor:
    """Apply each augmentation in `kinds` to each image (N, C, H, W) with probability p."""
    if own := [kind for kind in kinds if kind in ada.KINDS]:
        x = ada.pipeline(x, own, p)
    for kind in (kind for kind in kinds if kind not in ada.KINDS):
        selected = torch.rand(len(x), 1, 1, 1, device=x.device) < p
        x = torch.where(selected, KINDS[kind](x), x)
    return x


def adjusted(p: Tensor, r_t: Tensor, target: float, steps: int) -> Tensor:
    """Return the next p, higher if r_t = E[sign D(x)] is above its target. Karras et al. 2020, Sec. 3.

    Args:
        p: Current value, within [0, 1].
        r_t: 0 without overfitting, 1 with complete overfitting.
        target: Target of r_t, 0.6 in the paper.
        steps: Updates in which p can rise from 0 to 1 (paper: 500,000 images).
    """
    return (p + (r_t - target).sign() / steps).clamp(0, 1)
