"""Parts that jobs leave, gathered into one array."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch

from components.common.errors import RunError
from components.evaluation.parts import merge_parts, write_part
from components.families import artifact, catalogue
from components.records.model import ModelConfig
from components.store import Store
from components.training import request
from models.family import DataSpec
from tests.tiny import CONFIGS


@pytest.fixture
def store(tmp_path, digits, digits_reference) -> Store:
    """A store with data, reference, extractor, and an untrained model of each family."""
    store = Store(str(tmp_path / "store"))
    shutil.copytree(digits, store.path("data"))
    shutil.copytree(digits_reference, store.path("reference"))
    for family, config in CONFIGS.items():
        torch.manual_seed(0)
        card = DataSpec(1, 8, 10)
        built = catalogue.build(family, config, card, catalogue.untrained(family, card, CONFIGS))
        below = {
            name: ModelConfig(family=other, config=CONFIGS[other], card=asdict(card))
            for name, other in catalogue.upstream_of(family).items()
        }
        job = request.TrainRequest(family, catalogue.config_of(family, config), {}, "data", "", store.url)
        artifact.save_model(
            store, f"models/{family}", job.family, job.config, built.generator, card, None, upstream=below
        )
    return store


def test_gaps_and_repeats_are_refused(store: Store, tmp_path: Any) -> None:
    write_part(store, "gap", 0, {"features": np.zeros((64, 4), np.float32)})
    write_part(store, "gap", 128, {"features": np.zeros((64, 4), np.float32)})
    with pytest.raises(RunError, match="gaps or repeats"):
        merge_parts(store, "gap", "features", tmp_path)
    write_part(store, "twice", 0, {"features": np.zeros((64, 4), np.float32)})
    write_part(store, "twice", 32, {"features": np.zeros((64, 4), np.float32)})
    with pytest.raises(RunError, match="gaps or repeats"):
        merge_parts(store, "twice", "features", tmp_path)
    assert merge_parts(store, "gap", "labels", tmp_path) is None


def test_what_is_gathered_stays_on_disk(store: Store, tmp_path: Any) -> None:
    for start in (0, 64):
        write_part(store, "big", start, {"features": np.full((64, 4), start, np.float32)})
    found = merge_parts(store, "big", "features", tmp_path)
    assert isinstance(found, np.memmap) and found.shape == (128, 4) and found[64, 0] == 64
