"""A training whose store refuses files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from components.common.errors import RunError
from components.families import catalogue
from components.records.names import RESULT
from components.store import Store
from components.training import job, request
from tests import tiny


def fit(store: Store, digits: Path, steps: int) -> None:
    shutil.copytree(digits, store.path("data"))
    train = tiny.settings(
        steps=steps, checkpoint_every=50, snapshot_samples=0, sample_images=10, num_snapshots=1
    )
    config = catalogue.config_of("vae", tiny.CONFIGS["vae"])
    job.fit(request.TrainRequest("vae", config, train.model_dump(), "data", "attempt", store))


def refuse(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """Let stores refuse the files whose path contains `part`."""
    write = Store.write_bytes

    def refusing(store: Store, rel: str, data: bytes) -> None:
        if part in rel:
            raise RunError("no space left; free some and run the same command again")
        write(store, rel, data)

    monkeypatch.setattr(Store, "write_bytes", refusing)


def test_a_refused_checkpoint_ends_the_training_soon(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "checkpoints/")
    steps: list[int] = []
    save = job.JobLog.save

    def saving(log: job.JobLog, step: int, state: Any) -> str:
        name = save(log, step, state)
        log.uploader.flush()
        steps.append(step)
        return name

    monkeypatch.setattr(job.JobLog, "save", saving)
    with pytest.raises(RunError, match="checkpoints/step-0000050.pt could not be stored: no space left"):
        fit(Store(str(tmp_path)), digits, 600)
    assert steps == [50]


def test_refused_progress_does_not_matter(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "progress.json")
    store = Store(str(tmp_path))
    fit(store, digits, 50)
    assert store.exists(f"attempt/{RESULT}")
