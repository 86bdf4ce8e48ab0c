"""Trials without Ray and Prefect: a store with the 8 x 8 digits, and the context of a small sweep."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from components.config.train import Train
from components.families.catalogue import config_of
from components.stages.spec import Spec
from components.store import Store
from components.training.request import TrainRequest
from components.tuning.trial_context import TrialContext
from tests.small_data import *  # noqa: F403  (fixtures)

TRAIN = {"steps": 12, "batch": 16, "precision": "float32", "num_snapshots": 4, "checkpoint_every": 3}
TRAIN |= {"snapshot_samples": 64, "sample_images": 10, "log_every": 3, "workers": 0, "health_every": 4}


@pytest.fixture
def context(with_digits: Store) -> TrialContext:
    training = TrainRequest(
        "dcgan",
        config=config_of("dcgan", {"width": 8, "latent": 4}),
        train=Train(**TRAIN).model_dump(mode="json"),
        data="prepared/data",
        attempt="",
        store=with_digits,
        reference="reference",
        extractor="reference/extractor",
    )
    return TrialContext(
        run_id="test",
        spec=Spec("trial", {}, {"a": "b"}, family="dcgan", data="0.dir"),
        training=training,
        metric="kid",
        diversity=0.0,
        judgements=4,
        samples=64,
    )


def changed(context: TrialContext, **fields: Any) -> TrialContext:
    """The context with other fields of its training job."""
    return replace(context, training=replace(context.training, **fields))
