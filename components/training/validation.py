"""Held-out batches."""

from __future__ import annotations

from components.data.dataset import Split
from models.family import Batch


def validation_batches(split: Split, size: int, limit: int = 1000) -> list[Batch]:
    """Up to `limit` images of a split as batches of `size`, in their order."""
    images = min(split.most_samples, limit)
    return [split.batch(range(start, min(start + size, images))) for start in range(0, images, size)]
