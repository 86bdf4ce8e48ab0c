"""Fixtures that several files of this folder share."""

from __future__ import annotations

import shutil
from dataclasses import asdict

import pytest
import torch

from components.families import artifact, catalogue
from components.records.model import ModelConfig
from components.store import Store
from components.training import request
from models.family import DataSpec
from tests.small_data import *  # noqa: F403  (fixtures)
from tests.tiny import CONFIGS, WITHOUT_SOURCE


@pytest.fixture
def store(tmp_path, digits, digits_reference) -> Store:
    """A store with data, reference, extractor, and an untrained model of each family that needs no source."""
    store = Store(str(tmp_path / "store"))
    shutil.copytree(digits, store.path("data"))
    shutil.copytree(digits_reference, store.path("reference"))
    for family in WITHOUT_SOURCE:
        config = CONFIGS[family]
        torch.manual_seed(0)
        card = DataSpec(1, 8, 10)
        built = catalogue.build(family, config, card, catalogue.untrained(family, card, CONFIGS))
        below = {
            name: ModelConfig(family=other, config=CONFIGS[other], card=asdict(card))
            for name, other in catalogue.upstream_of(family).items()
        }
        job = request.TrainRequest(family, catalogue.config_of(family, config), {}, "data", "", store)
        artifact.save_model(
            store, f"models/{family}", job.family, job.config, built.generator, card, None, upstream=below
        )
    return store
