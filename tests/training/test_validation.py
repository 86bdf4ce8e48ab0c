"""Validation batches."""

from __future__ import annotations

from components.training.validation import validation_batches
from tests import tiny


def test_held_out_images_are_all_there_once() -> None:
    batches = validation_batches(tiny.split(50), size=16)
    assert [len(batch) for batch in batches] == [16, 16, 16, 2]
    assert sum(len(batch) for batch in validation_batches(tiny.split(50), size=16, limit=20)) == 20
