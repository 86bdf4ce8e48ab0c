"""The augmentation pipeline of ADA: pixel blits, geometric and colour transformations.

Karras et al. 2020, Training Generative Adversarial Networks with Limited Data, Sec. 2 and App. B,
https://arxiv.org/abs/2006.06676. Each transformation is applied to each image with probability p,
independently. With p < 1 none of them leaks into the samples, mirrored images and quarter turns included
(Sec. 2.2).

Blits and geometric transformations are one affine map of coordinates. Images are enlarged with the scaling
filter of the Symlet of 6 vanishing moments, sampled bilinearly, and shrunk with the same filter. Its
translations by two samples are orthonormal, so that translations by whole pixels are exact. Beyond their
borders images are reflected.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn.functional import pad

from models.parts.layers import widened, without_autocast
from models.parts.upfirdn import upfirdn, upsample

BLIT, GEOMETRY, COLOUR = KINDS = ("ada_blit", "ada_geometry", "ada_colour")
Probability = Tensor | float

SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)  # of sum sqrt(2); Daubechies 1992, Table 8.1


def pipeline(x: Tensor, kinds: Collection[str], p: Probability) -> Tensor:
    """Augment images (N, C, S, S) with those of KINDS that are in `kinds`, with probability p each."""
    if not (torch.is_tensor(p) and p.is_meta) and not p > 0:  # of meta tensors, shapes alone are known
        return x
    with without_autocast(x):
        y = widened(x)
        if BLIT in kinds or GEOMETRY in kinds:
            matrix = identity(y)
            matrix = blits(matrix, x.shape[2], p) if BLIT in kinds else matrix
            matrix = geometric(matrix, p) if GEOMETRY in kinds else matrix
            y = resampled(y, matrix)
        y = recoloured(y, *colours(y, p)) if COLOUR in kinds else y
        return y.to(x.dtype)


# Random numbers (N,), one for each image.


def identity(like: Tensor) -> Tensor:
    """The matrix of no change, (N, 3, 3)."""
    return torch.eye(3, device=like.device, dtype=like.dtype).expand(len(like), -1, -1)


def uniform(like: Tensor) -> Tensor:
    """Uniform numbers from 0 to 1."""
    return torch.rand(len(like), device=like.device, dtype=like.dtype)


def normal(like: Tensor, deviation: float) -> Tensor:
    """Normal numbers."""
    return deviation * torch.randn(len(like), device=like.device, dtype=like.dtype)


def whole(like: Tensor, values: int) -> Tensor:
    """Whole numbers from 0 to `values` - 1."""
    return (uniform(like) * values).floor()


def angle(like: Tensor) -> Tensor:
    """Angles from -pi to pi."""
    return (2 * uniform(like) - 1) * math.pi


def chosen(value: Tensor, p: Probability, unchanged: float = 0.0) -> Tensor:
    """Keep each value with probability p; the others become `unchanged`."""
    return torch.where(uniform(value) < p, value, unchanged)


# Geometry: matrices (N, 3, 3) from the coordinates of the result, in halves of the size from the centre, to
# those of the image.


def affine(
    a: Tensor, b: Tensor, c: Tensor, d: Tensor, u: Tensor | None = None, v: Tensor | None = None
) -> Tensor:
    """[[a, b, u], [c, d, v], [0, 0, 1]] of numbers (N,); u and v are 0 by default."""
    zero, one = torch.zeros_like(a), torch.ones_like(a)
    rows = [a, b, zero if u is None else u, c, d, zero if v is None else v, zero, zero, one]
    return torch.stack(rows, 1).unflatten(1, (3, 3))


def rotation(theta: Tensor) -> Tensor:
    """Rotate by theta."""
    return affine(theta.cos(), -theta.sin(), theta.sin(), theta.cos())


def scaling(u: Tensor, v: Tensor) -> Tensor:
    """Scale columns by u and rows by v."""
    return affine(u, torch.zeros_like(u), torch.zeros_like(u), v)


def translation(u: Tensor, v: Tensor, p: Probability) -> Tensor:
    """Translate columns by u and rows by v with probability p."""
    one, zero = torch.ones_like(u), torch.zeros_like(u)
    selected = uniform(u) < p
    return affine(one, zero, zero, one, torch.where(selected, u, 0.0), torch.where(selected, v, 0.0))


def blits(matrix: Tensor, size: int, p: Probability) -> Tensor:
    """Mirror left to right, turn by quarters, translate by whole pixels up to an eighth of the size."""
    mirrored = 1 - 2 * chosen(whole(matrix, 2), p)
    u, v = (((uniform(matrix) / 4 - 1 / 8) * size).round() * 2 / size for _ in range(2))
    matrix = matrix @ scaling(mirrored, torch.ones_like(mirrored))
    return matrix @ rotation(math.pi / 2 * chosen(whole(matrix, 4), p)) @ translation(u, v, p)


def geometric(matrix: Tensor, p: Probability) -> Tensor:
    """Scale, rotate, scale the axes apart, rotate again, and translate."""
    # Of each rotation, so that p is the probability of at least one.
    p_rotation = 1 - (1 - torch.as_tensor(p)).sqrt()
    size, aspect = (chosen(normal(matrix, 0.2).exp2(), p, 1.0) for _ in range(2))
    before, after = (rotation(chosen(angle(matrix), p_rotation)) for _ in range(2))
    u, v = (normal(matrix, 2 / 8) for _ in range(2))  # an eighth of the size
    matrix = matrix @ scaling(1 / size, 1 / size) @ before @ scaling(1 / aspect, aspect) @ after
    return matrix @ translation(u, v, p)


def reflected(c: Tensor, size: int, margin: int = 0) -> Tensor:
    """Fold coordinates in pixels into an image of `size` pixels, reflecting about its outer pixels.

    Those within `margin` pixels of the image stay.
    """
    period = 2 * (size - 1)
    folded = c.remainder(period)
    near = (c >= -margin) & (c <= size - 1 + margin)
    return torch.where(near, c, torch.minimum(folded, period - folded))


def resampled(x: Tensor, matrix: Tensor) -> Tensor:
    """Sample image n of (N, C, S, S) at the points matrix_n p; the shape stays."""
    f = torch.tensor(SYM6, device=x.device, dtype=x.dtype) / math.sqrt(2)
    size, margin = x.shape[2], min(6, x.shape[2] - 1)  # pixels beyond the border for both filters, 3 each
    large = upsample(pad(x, [margin] * 4, mode="reflect"), f)
    # The points of the enlarged result, and five on each side for the filter that shrinks it. Pixel i is at
    # 2 i there, since the filter's centre is at 5.1.
    points = (torch.arange(-5, 2 * size + 5, device=x.device, dtype=x.dtype) + 1) / size - 1
    grid = torch.stack([*torch.meshgrid(points, points, indexing="xy"), torch.ones(2 * [len(points)]).to(x)])
    at = (matrix[:, :2] @ grid.flatten(1)).unflatten(2, grid.shape[1:])  # (N, 2, 2 S + 10, 2 S + 10)
    pixels = reflected(((at + 1) * size - 1) / 2, size, margin - 3)
    column, row = (2 * (pixels + margin)).unbind(1)  # in `large`
    return upfirdn(bilinear(large, row, column), f.flip(0), down=2)


def bilinear(x: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Sample images at points (N, H', W') inside of them; unlike grid_sample, differentiable twice."""
    (_, channels, height, width), shape = x.shape, row.shape[1:]
    top, left = row.floor().clamp(0, height - 2), column.floor().clamp(0, width - 2)
    t, s = (row - top)[:, None], (column - left)[:, None]
    first = (top * width + left).long().flatten(1)[:, None].expand(-1, channels, -1)  # (N, C, H' W')
    pixels = x.flatten(2)

    def at(offset: int) -> Tensor:
        return pixels.gather(2, first + offset).unflatten(2, shape)

    above = torch.lerp(at(0), at(1), s)
    below = torch.lerp(at(width), at(width + 1), s)
    return torch.lerp(above, below, t)


# Colour: affine maps of the colours, M c + b.


def colours(x: Tensor, p: Probability) -> tuple[Tensor, Tensor]:
    """Brightness, contrast, inverted luma, hue and saturation as M (N, 3, 3) and b (N, 3, 1)."""
    one = torch.eye(3, device=x.device, dtype=x.dtype)
    luma = torch.full_like(one, 1 / 3)  # projects onto the grey axis
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=x.device, dtype=x.dtype) / math.sqrt(
        3
    )

    def column(value: Tensor) -> Tensor:
        return value[:, None, None]

    contrast = column(chosen(normal(x, 0.5).exp2(), p, 1.0))
    inverted = column(chosen(whole(x, 2), p))
    theta = column(chosen(angle(x), p))
    saturation = column(chosen(normal(x, 1.0).exp2(), p, 1.0))
    m, b = contrast * one, contrast * column(chosen(normal(x, 0.2), p)).expand(-1, 3, 1)
    hue = luma + theta.cos() * (one - luma) + theta.sin() * cross
    for t in (one - 2 * inverted * luma, hue, luma + saturation * (one - luma)):
        m, b = t @ m, t @ b
    return m, b


def recoloured(x: Tensor, m: Tensor, b: Tensor) -> Tensor:
    """Apply M c + b to images of three channels; those of one channel have three equal colours."""
    if x.shape[1] == 1:
        return x * m.sum((1, 2))[:, None, None, None] / 3 + b.mean(1)[:, :, None, None]
    return torch.einsum("nij,njhw->nihw", m, x) + b[..., None]
