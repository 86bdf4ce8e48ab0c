"""An exported model draws the published samples of its training again, bit for bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.evaluation.reproduce import SAMPLES, reproduce
from components.evaluation.requests import ReproduceRequest
from components.families import catalogue
from components.records.names import KEPT
from components.sampling import sheets
from components.store import Store
from components.training import job, request
from tests import tiny


def exported(store: Store, digits: Path, family: str, **settings: Any) -> ReproduceRequest:
    """A short training and its exported model."""
    shutil.copytree(digits, store.path("data"))
    train = tiny.settings(steps=4, snapshot_samples=0, sample_images=20, num_snapshots=1, seed=7, **settings)
    config = catalogue.config_of(family, tiny.CONFIGS[family])
    job.fit(request.TrainRequest(family, config, train.model_dump(), "data", "attempt", store))
    for name in ("model.safetensors", "config.json"):
        store.write_bytes(f"export/{name}", store.read_bytes(f"attempt/model/{name}"))
    store.write_bytes(f"export/{SAMPLES}", store.read_bytes(f"attempt/{KEPT}"))
    return ReproduceRequest(store, "export", "data", "", seed=7, sample_images=20)


@pytest.mark.parametrize("family", ["autoencoder", "cgan"])  # made from images, and from noise and labels
def test_the_published_samples_are_drawn_again(digits: Path, tmp_path: Path, family: str) -> None:
    found = reproduce(exported(Store(str(tmp_path)), digits, family))
    assert (found.images, found.difference, found.error) == (20, 0.0, None)


def test_what_differs_or_does_not_load_is_found(digits: Path, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    asked = exported(store, digits, "cgan")
    images = sheets.decode_webp(store.read_bytes(f"export/{SAMPLES}"), 1)
    store.write_bytes(f"export/{SAMPLES}", sheets.encode_webp(255 - images))
    expected = np.abs(255 - 2 * images.astype(int)).mean()
    assert reproduce(asked).difference == pytest.approx(expected)
    store.write_bytes(f"export/{SAMPLES}", sheets.encode_webp(images[:8]))
    assert reproduce(asked).error == "10 samples were published, and 20 are drawn"
    store.write_bytes("export/model.safetensors", b"damaged")
    assert "cannot be read" in str(reproduce(asked).error)
