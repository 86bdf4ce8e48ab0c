"""Fixtures that several files of this folder share."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from components.families import artifact, catalogue
from components.records.model import ModelConfig
from components.store import Store
from components.training import request
from models.data_spec import DataSpec
from tests.conftest import made_once
from tests.small_data import *  # noqa: F403  (fixtures)
from tests.tiny import CONFIGS, WITHOUT_SOURCE


@pytest.fixture(scope="session")
def untrained(digits, digits_reference, tmp_path_factory) -> Path:
    """A store with data, reference, extractor, and an untrained model of each family that needs no source."""

    def make(folder: Path) -> None:
        store = Store(str(folder))
        shutil.copytree(digits, store.path("data"))
        shutil.copytree(digits_reference, store.path("reference"))
        for family in WITHOUT_SOURCE:
            save_untrained(store, family)

    return made_once(tmp_path_factory, "untrained", make)


def save_untrained(store: Store, family: str) -> None:
    """Save an untrained model in the store."""
    config, card = CONFIGS[family], DataSpec(1, 8, 10)
    torch.manual_seed(0)
    built = catalogue.build(family, config, card, catalogue.untrained(family, card, CONFIGS))
    below = {
        name: ModelConfig(family=other, config=CONFIGS[other], card=asdict(card))
        for name, other in catalogue.upstream_of(family).items()
    }
    job = request.TrainRequest(family, catalogue.config_of(family, config), {}, "data", "", store)
    artifact.save_model(
        store, f"models/{family}", job.family, job.config, built.generator, card, None, upstream=below
    )


@pytest.fixture
def store(tmp_path, untrained) -> Store:
    """The test's own copy of that store."""
    return Store(str(shutil.copytree(untrained, tmp_path / "store")))
