"""A training whose store refuses files."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from components.common.errors import RunError
from components.families import catalogue
from components.records.names import RESULT
from components.store import Store
from components.training import checkpoint, job, request
from tests import tiny


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small file system")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fit(store: Store, digits: Path, steps: int) -> None:
    shutil.copytree(digits, store.path("data"), dirs_exist_ok=True)
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


def test_a_full_disk_ends_a_training_that_goes_on_once_there_is_room(
    digits: Path, small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real one: its last bytes are taken before the second checkpoint is written."""
    undisturbed, store = Store(str(tmp_path)), Store(str(small_disk))
    fit(undisturbed, digits, 150)
    full, save = small_disk / "full", job.JobLog.save

    def filling(log: job.JobLog, step: int, state: Any) -> str:
        if step == 100:
            log.uploader.flush()
            with suppress(OSError), full.open("wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
        return save(log, step, state)

    monkeypatch.setattr(job.JobLog, "save", filling)
    with pytest.raises(RunError, match="no space left; free some and run the same command again"):
        fit(store, digits, 150)
    assert [step for _, step in checkpoint.checkpoint_ids(store.child("attempt"))] == [50]

    full.unlink()
    monkeypatch.setattr(job.JobLog, "save", save)
    fit(store, digits, 150)
    for name in ("model/model.safetensors", "model/config.json"):
        assert store.read_bytes(f"attempt/{name}") == undisturbed.read_bytes(f"attempt/{name}")


def test_refused_progress_does_not_matter(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "progress.json")
    store = Store(str(tmp_path))
    fit(store, digits, 50)
    assert store.exists(f"attempt/{RESULT}")
