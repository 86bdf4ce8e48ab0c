"""Trials without Ray and Prefect: a store with the 8 x 8 digits, and the terms of a small sweep."""

from __future__ import annotations

import pytest

from components.config.train import Train
from components.families.catalogue import config_of
from components.stages.spec import Spec
from components.store import Store
from components.tuning.trial import Terms
from tests.small_data import *  # noqa: F403  (fixtures)

TRAIN = {"steps": 12, "batch": 16, "precision": "float32", "sample_grids": 4, "checkpoint_every": 3}
TRAIN |= {"judge_samples": 64, "sample_images": 10, "log_every": 3, "workers": 0, "health_every": 4}


@pytest.fixture
def terms(with_digits: Store) -> Terms:
    own = config_of("dcgan", {"width": 8, "latent": 4})
    return Terms(
        store=with_digits.url,
        run_id="test",
        family="dcgan",
        block=own | {"train": Train(**TRAIN).model_dump(mode="json")},
        spec=Spec("trial", {}, {"a": "b"}, family="dcgan", data="0.dir"),
        data="prepared/data",
        reference="reference",
        extractor="reference/extractor",
        metric="kid",
        diversity=0.0,
        judgements=4,
        samples=64,
    )
