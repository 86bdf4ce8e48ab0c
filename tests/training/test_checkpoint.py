"""Checkpoints."""

from __future__ import annotations

from typing import Any

from components.store import Store
from components.training import checkpoint


def test_the_newest_readable_checkpoint_is_found(tmp_path: Any) -> None:
    attempt = Store(tmp_path)
    for step in (3, 6, 9):
        attempt.write_bytes(checkpoint.name(step), checkpoint.encode({"control": {"step": step}}))
    attempt.write_bytes(checkpoint.name(9), b"torn")
    found = checkpoint.newest(attempt)
    assert found is not None and found["control"]["step"] == 6
    checkpoint.prune(attempt)
    assert checkpoint.checkpoint_ids(attempt) == [(1, 6), (1, 9)]
    assert checkpoint.newest(Store(tmp_path / "empty")) is None


def test_a_checkpoint_runs_no_code(tmp_path: Any) -> None:
    import pickle

    attempt = Store(tmp_path)
    attempt.write_bytes(checkpoint.name(1), pickle.dumps({"x": print}))
    assert checkpoint.newest(attempt) is None
