"""Settings of training."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from components.config.train import Train


def test_milestones_come_in_order() -> None:
    with pytest.raises(ValueError, match="must be ordered, at most one per step"):
        Train(setting_changes=[{"step": 5, "change": {"lr": 1}}, {"step": 5, "change": {"lr": 2}}])


def test_lengths_and_the_cadence_of_snapshots_are_part_of_the_key() -> None:
    plain, asked = Train(), Train(ema_sigma_rel=(0.05, 0.1))
    assert plain.semantic() != asked.semantic() != Train(ema_sigma_rel=(0.05,)).semantic()
    assert asked.semantic() != Train(ema_sigma_rel=(0.05, 0.1), num_snapshots=16).semantic()
    assert json.loads(json.dumps(asked.semantic())) == asked.semantic()
    assert Train(**json.loads(asked.model_dump_json())) == asked


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ema_sigma_rel": (0.3,)}, "from 0.01 to 0.28; 0.3 is not"),
        ({"ema_sigma_rel": (0.1, 0.1)}, "twice"),
        ({"ema_sigma_rel": (0.1,), "snapshot_samples": 0}, "snapshot_samples must not be 0"),
    ],
)
def test_lengths_that_cannot_be_tried_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Train(**changes)


@pytest.mark.parametrize(
    ("workers", "sentence"),
    [
        (-1, "0 or more, or"),
        ([0, 2], "1 <= LEAST <= MOST"),
        ([3, 2], "1 <= LEAST <= MOST"),
        (5, "workers=5 need as many micro-batches or more, not micro_batches=4"),
        ([1, 5], "workers=5 need as many"),
    ],
)
def test_workers_are_a_number_or_a_range_up_to_the_micro_batches(workers: Any, sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Train(workers=workers, micro_batches=4)


def test_a_range_of_workers_is_not_part_of_the_key() -> None:
    elastic = Train(workers=[1, 3], micro_batches=4)
    assert (elastic.least_workers, elastic.most_workers) == (1, 3)
    assert elastic.semantic() == Train(workers=4, micro_batches=4).semantic()
    assert Train(**json.loads(elastic.model_dump_json())) == elastic


def test_checkpoints_are_part_of_a_treated_training() -> None:
    assert "checkpoint_every" not in Train().semantic()
    assert "checkpoint_every" in Train(health="treat").semantic()
    with pytest.raises(ValueError, match="health_every=7 must divide checkpoint_every=20"):
        Train(health="treat", health_every=7, checkpoint_every=20)


def test_a_model_to_begin_with_is_in_the_key_by_its_weights() -> None:
    assert Train(initial="latest/vae") == Train(initial={"model": "latest/vae"})
    one, same = ({"model": model, "sha256": "a"} for model in ("r1/vae", "s3://bucket/vae"))
    assert Train(initial=one).semantic() == Train(initial=same).semantic()
    other = Train(initial={"model": "r1/vae", "sha256": "b"})
    assert Train().semantic() != Train(initial=one).semantic() != other.semantic()
    assert Train(**json.loads(other.model_dump_json())) == other
