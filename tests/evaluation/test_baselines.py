"""Images that baselines, which learn nothing, make of sources."""

from __future__ import annotations

import numpy as np
import pytest

from components.evaluation import baselines
from components.evaluation.baselines import nearest_sources


def test_nearest_sources_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    train = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), np.uint8)
    train[7] = train[3]  # the first of equals
    expected = [3, 49, 0, 7 - 4]
    for size in (1, 3, 1000):
        monkeypatch.setattr(baselines, "BLOCK_BYTES", size * 8 * 48)
        assert nearest_sources(train[[3, 49, 0, 7]], train).tolist() == expected
