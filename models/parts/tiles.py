"""Enlarge large images in tiles that overlap, blended without seams, in bounded memory.

A pixel of a tile is wrong where its receptive field reaches beyond the tile. So the outer quarter of an
overlap has no weight, and the rest of it fades from one tile to the next. If the radius of the receptive
field is at most that quarter, the result equals that of the whole image. RRDBNet's field is larger, but its
residuals are scaled down, so that distant pixels have little effect; fading hides what remains.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def starts(size: int, tile: int, overlap: int) -> list[int]:
    """Return the first pixels of evenly spread tiles of `size` pixels that overlap by `overlap` or more."""
    if size <= tile:
        return [0]
    last = -(-(size - overlap) // (tile - overlap)) - 1
    return [round(i * (size - tile) / last) for i in range(last + 1)]


def ramp(size: int, before: int, after: int) -> Tensor:
    """Return the weights (size,) of a tile's pixels, which fade over its overlaps with neighbours.

    Args:
        size: Pixels of the tile.
        before: Pixels that it shares with the tile before it; 0: none.
        after: Pixels that it shares with the tile after it.
    """
    weights = torch.ones(size)
    if before:
        weights[:before] = rising(before)
    if after:
        weights[size - after :] *= rising(after).flip(0)
    return weights


def rising(overlap: int) -> Tensor:
    """Return weights (overlap,) from 0 to 1, constant in the outer quarters; with their mirror image 1."""
    outer = overlap // 4
    inner = overlap - 2 * outer
    fade = (torch.arange(inner) + 0.5) / inner
    return torch.cat([torch.zeros(outer), fade, torch.ones(outer)])


def tiled(enlarge: Callable[[Tensor], Tensor], x: Tensor, scale: int, tile: int, overlap: int) -> Tensor:
    """Enlarge images tile by tile.

    Args:
        enlarge: From images (N, C, h, w), h and w at most `tile`, to (N, C', scale h, scale w).
        x: Sources (N, C, H, W).
        scale: Of the enlargement.
        tile: Largest side of a tile, in pixels of the source.
        overlap: Pixels of the source that neighbouring tiles share at least; up to a third of a tile, so that
            no pixel has weight in three tiles of a row.

    Returns:
        Images (N, C', scale H, scale W), float32.
    """
    assert 0 < 3 * overlap <= tile
    rows, columns = (starts(size, tile, overlap) for size in x.shape[2:])
    height, width = (min(tile, size) for size in x.shape[2:])
    out: Tensor | None = None
    for i, top in enumerate(rows):
        vertical = ramp(height * scale, *shared(rows, i, height, scale))
        for j, left in enumerate(columns):
            horizontal = ramp(width * scale, *shared(columns, j, width, scale))
            part = enlarge(x[:, :, top : top + height, left : left + width]).float()
            if out is None:
                out = part.new_zeros(*part.shape[:2], x.shape[2] * scale, x.shape[3] * scale)
            weights = (vertical[:, None] * horizontal).to(part.device)
            y, z = top * scale, left * scale
            out[:, :, y : y + height * scale, z : z + width * scale] += weights * part
    assert out is not None
    return out


def shared(starts: list[int], i: int, size: int, scale: int) -> tuple[int, int]:
    """Return the pixels of the result that tile i shares with the tile before and the tile after it."""
    before = starts[i - 1] + size - starts[i] if i else 0
    after = starts[i] + size - starts[i + 1] if i + 1 < len(starts) else 0
    return before * scale, after * scale
