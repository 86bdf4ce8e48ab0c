"""Held-out batches."""

from __future__ import annotations

import torch

from components.data.dataset import Split, latents_of, to_float
from models.family import Batch


def held_out(split: Split, size: int, limit: int = 1000) -> list[Batch]:
    """Up to `limit` images of a split as batches of `size`, in their order."""
    images = min(len(split), limit)
    return [split_batch(split, range(start, min(start + size, images))) for start in range(0, images, size)]


def split_batch(split: Split, index: range) -> Batch:
    """The images `index` of a split as one batch."""
    rows = list(index)
    text, mask = (None, None) if split.text is None else split.text[rows].tensors()
    return Batch(
        n=len(rows),
        image=to_float(split.images[rows]),
        label=None if split.labels is None else torch.from_numpy(split.labels[rows]),
        source=None if split.sources is None else to_float(split.sources[rows]),
        text=text,
        text_mask=mask,
        latent=latents_of(split, rows),
    )
