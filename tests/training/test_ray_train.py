"""A training under Ray Train, without Ray."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.common.errors import Diverged
from components.records.names import RESULT
from components.store import Store
from components.training import ray_train
from components.training.ray_train import ERROR
from components.training.request import TrainRequest
from tests import tiny

YESTERDAY = {"error": "the loss was not finite", "diverged": True}


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Train with a worker that does what it is given."""
    from ray.train import torch as ray_torch

    monkeypatch.setattr(ray_train, "connect", lambda: None)
    monkeypatch.setattr(ray_train, "check_resources", lambda *_: None)
    train = tiny.settings(workers=2).model_dump(mode="json")
    job = TrainRequest("vae", tiny.CONFIGS["vae"], train, "data", "attempt", Store(tmp_path))

    def call(worker: Any) -> None:
        monkeypatch.setattr(ray_torch, "TorchTrainer", lambda *_, **__: SimpleNamespace(fit=worker))
        ray_train.fit(job, "name")

    return call


def test_an_error_of_yesterday_does_not_fail_a_training(tmp_path: Path, fit: Any) -> None:
    attempt = Store(tmp_path).child("attempt")
    attempt.write_json(ERROR, YESTERDAY)
    fit(lambda: attempt.write_json(RESULT, {}))
    fit(lambda: attempt.write_json(ERROR, YESTERDAY))  # the result counts


def test_an_error_of_today_fails_it_once(tmp_path: Path, fit: Any) -> None:
    attempt = Store(tmp_path).child("attempt")
    with pytest.raises(Diverged, match="not finite"):
        fit(lambda: attempt.write_json(ERROR, YESTERDAY))
    fit(lambda: None)
