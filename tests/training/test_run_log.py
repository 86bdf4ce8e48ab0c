"""What a training writes into its attempt."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from components.store import Store
from components.store.uploader import Uploader
from components.training import posthoc_ema
from components.training.posthoc_ema import PowerFunctionEMAs
from components.training.run_log import RunLog
from tests.training.test_posthoc_ema import same


def test_snapshots_are_files_of_the_attempt(tmp_path: Any) -> None:
    attempt = Store(tmp_path)
    tracks = PowerFunctionEMAs(nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    with Uploader(attempt) as uploader:
        log = RunLog(attempt, uploader, lambda generator: np.zeros(0), 16)
        log.save_tracks((1, 8), posthoc_ema.flat(tracks.parameters))
        assert log.stored_tracks([(1, 4), (1, 8)]) == [(1, 8)]
        assert same(log.load_tracks((1, 8)), posthoc_ema.flat(tracks.parameters))
    assert attempt.list("ema") == ["step-0000008.safetensors"]
