"""Checkpoints."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
import torch

from components.common.errors import InputError
from components.store import Store
from components.store.errors import Unreachable
from components.training import checkpoint


def test_the_newest_readable_checkpoint_is_found(tmp_path: Any) -> None:
    attempt = Store(tmp_path)
    for step in (3, 6, 9):
        attempt.write_bytes(checkpoint.name(step), checkpoint.encode({"control": {"step": step}}))
    attempt.write_bytes(checkpoint.name(9), b"torn")
    result = checkpoint.newest(attempt)
    assert result is not None and result["control"]["step"] == 6
    assert attempt.list("checkpoints")[-1] == "step-0000009.pt.damaged"
    checkpoint.prune(attempt)
    assert checkpoint.checkpoint_ids(attempt) == [(1, 3), (1, 6)]
    assert checkpoint.newest(Store(tmp_path / "empty")) is None


def test_one_changed_bit_is_noticed(tmp_path: Any) -> None:
    data = bytearray(checkpoint.encode({"x": torch.ones(1000)}))
    assert checkpoint.is_intact(data)
    data[len(data) // 2] ^= 1
    assert not checkpoint.is_intact(data)


def test_damaged_checkpoints_do_not_displace_later_ones(tmp_path: Any) -> None:
    attempt = Store(tmp_path)
    for step in (500, 1000):
        attempt.write_bytes(checkpoint.name(step), b"torn")
    assert checkpoint.newest(attempt) is None
    for step in (100, 200, 300):
        attempt.write_bytes(checkpoint.name(step), checkpoint.encode({"control": {"step": step}}))
        checkpoint.prune(attempt)
    assert checkpoint.checkpoint_ids(attempt) == [(1, 200), (1, 300)]
    assert checkpoint.newest(attempt) is not None


@pytest.mark.parametrize(
    "error", [Unreachable("does not answer"), InputError("no permission"), MemoryError()]
)
def test_a_checkpoint_that_cannot_be_read_just_now_is_not_damaged(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    attempt = Store(tmp_path)
    attempt.write_bytes(checkpoint.name(1), checkpoint.encode({"control": {"step": 1}}))
    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(Store, "read_bytes", Mock(side_effect=error))
        checkpoint.newest(attempt)
    assert checkpoint.newest(attempt) is not None


def test_what_counts_as_intact_can_be_read() -> None:
    """Zipfile accepts changes of the archive's directory that torch does not."""
    data, refused = checkpoint.encode({"step": 1}), 0
    for position in range(len(data) - 400, len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        if checkpoint.is_intact(bytes(changed)):
            assert checkpoint.decode(bytes(changed)) == {"step": 1}
        else:
            refused += 1
    assert refused > 100


def test_a_checkpoint_runs_no_code(tmp_path: Any) -> None:
    import pickle

    attempt = Store(tmp_path)
    attempt.write_bytes(checkpoint.name(1), pickle.dumps({"x": print}))
    assert checkpoint.newest(attempt) is None
