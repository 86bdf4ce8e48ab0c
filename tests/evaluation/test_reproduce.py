"""An exported model draws the published samples of its training again, bit for bit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from components.common.seeds import derive
from components.data.dataset import open_split
from components.evaluation.reproduce import reproduce
from components.evaluation.requests import ReproduceRequest
from components.families import catalogue
from components.records.model import ModelConfig, PublishedSamples
from components.records.names import KEPT
from components.sampling import published, sheets
from components.store import Store
from components.training import job, request
from tests import tiny


@pytest.mark.parametrize("family", ["autoencoder", "cgan"])  # made from images, and from noise and labels
def test_the_samples_of_a_training_are_drawn_again(digits: Path, tmp_path: Path, family: str) -> None:
    store = Store(str(tmp_path))
    shutil.copytree(digits, store.path("data"))
    train = tiny.settings(steps=4, snapshot_samples=0, sample_images=20, num_snapshots=1, seed=7)
    config = catalogue.config_of(family, tiny.CONFIGS[family])
    job.fit(request.TrainRequest(family, config, train.model_dump(), "data", "attempt", store))
    for name in ("model.safetensors", "config.json"):
        store.write_bytes(f"export/{name}", store.read_bytes(f"attempt/model/{name}"))
    model = ModelConfig.model_validate(store.read_json("export/config.json"))
    rows, fixed = published.fixed_conditions(model, open_split(digits, published.SPLIT), 20)
    images = sheets.ungrid(sheets.decode_webp(store.read_bytes(f"attempt/{KEPT}"), 1), 8, len(rows))
    record = PublishedSamples(n=20, seed=derive(7, "grid"), threads=1)
    published.write(store.child("export"), model, record, fixed, images, "0" * 64)
    result = reproduce(ReproduceRequest(store, "export"))
    assert (result.images, result.difference, result.error) == (20, 0.0, None)
    store.write_bytes("export/model.safetensors", b"damaged")
    assert "cannot be read" in str(reproduce(ReproduceRequest(store, "export")).error)
