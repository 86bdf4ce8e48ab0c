"""The training settings that all trials of a sweep share."""

from __future__ import annotations

from typing import Any

import pytest

from components.common.errors import InputError
from components.config.sweep import Sweep
from components.config.train import Train
from components.tuning.trial_context import train_of

TRAIN = Train(steps=1000).model_dump(mode="json")


def sweep(**settings: Any) -> Sweep:
    return Sweep(search={"lr": [1e-4, 1e-3]}, **settings)


def test_trials_are_evaluated_at_equal_distances_and_store_what_each_evaluation_needs() -> None:
    settings = train_of(sweep(steps=400, evaluations=8), TRAIN)
    assert (settings["steps"], settings["num_snapshots"], settings["checkpoint_every"]) == (400, 8, 50)
    assert train_of(sweep(evaluations=8), TRAIN)["steps"] == 1000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"health": "treat"}, "trials: train.health=treat changes settings"),
        ({"setting_changes": [{"step": 1, "change": {}}]}, "trials: train.setting_changes are the result"),
        ({"steps": 1001}, "a trial of 1001 steps cannot be cut into sweep.evaluations=8 parts"),
        ({"batch": 0}, "trials: train.batch"),
    ],
)
def test_settings_that_trials_cannot_have_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        train_of(sweep(evaluations=8), TRAIN | change)
