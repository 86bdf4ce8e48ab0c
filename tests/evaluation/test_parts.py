"""Parts that jobs leave, gathered into one array."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.common.errors import RunError
from components.evaluation.parts import merge_parts, write_part
from components.records.evaluation import Part
from components.store import Store


def test_gaps_and_repeats_are_refused(store: Store, tmp_path: Any) -> None:
    write_part(store, "gap", 0, {"features": np.zeros((64, 4), np.float32)}, Part(n=64))
    write_part(store, "gap", 128, {"features": np.zeros((64, 4), np.float32)}, Part(n=64))
    with pytest.raises(RunError, match="gaps or repeats"):
        merge_parts(store, "gap", "features", tmp_path)
    write_part(store, "twice", 0, {"features": np.zeros((64, 4), np.float32)}, Part(n=64))
    write_part(store, "twice", 32, {"features": np.zeros((64, 4), np.float32)}, Part(n=64))
    with pytest.raises(RunError, match="gaps or repeats"):
        merge_parts(store, "twice", "features", tmp_path)
    assert merge_parts(store, "gap", "labels", tmp_path) is None


def test_what_is_gathered_stays_on_disk(store: Store, tmp_path: Any) -> None:
    for start in (0, 64):
        write_part(store, "big", start, {"features": np.full((64, 4), start, np.float32)}, Part(n=64))
    result = merge_parts(store, "big", "features", tmp_path)
    assert isinstance(result, np.memmap) and result.shape == (128, 4) and result[64, 0] == 64
