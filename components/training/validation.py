"""Held-out batches."""

from __future__ import annotations

from components.data.dataset import Split
from models.family import Batch


def validation_batches(split: Split, size: int, limit: int = 1000) -> list[Batch]:
    """Return up to `limit` images of a split, in order, as batches of `size`."""
    images = min(split.most_samples, limit)
    return [split.batch(range(start, min(start + size, images))) for start in range(0, images, size)]
