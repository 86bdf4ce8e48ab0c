"""Validation batches."""

from __future__ import annotations

from components.training.validation import held_out
from tests import tiny


def test_held_out_images_are_all_there_once() -> None:
    batches = held_out(tiny.split(50), size=16)
    assert [len(batch) for batch in batches] == [16, 16, 16, 2]
    assert sum(len(batch) for batch in held_out(tiny.split(50), size=16, limit=20)) == 20
