"""What populations need of Ray Tune and Ray does not promise: an upgrade that takes it away fails here."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.experiment.trial import _TemporaryTrialState
from ray.tune.schedulers import PopulationBasedTraining
from ray.tune.schedulers.pbt import _PBTTrialState


def test_the_population_s_state_has_its_members() -> None:
    population = PopulationBasedTraining(hyperparam_mutations={"lr": [1, 2]}, synch=True)
    assert population._trial_state == {} and population._next_perturbation_sync > 0
    state = vars(_PBTTrialState(SimpleNamespace(experiment_tag="")))  # type: ignore[arg-type]
    assert {"last_score", "last_result", "last_train_time"} <= set(state)
    assert _TemporaryTrialState().saving_to is None
    assert {Trial.ERROR, Trial.PAUSED} <= {"ERROR", "PAUSED"} and hasattr(Trial, "is_finished")
    assert hasattr(TuneController, "get_live_trials")


@pytest.mark.parametrize(
    ("member", "parameters", "called_by"),
    [
        (
            "_checkpoint_or_exploit",
            ["self", "trial", "tune_controller", "upper_quantile", "lower_quantile"],
            "on_trial_result",
        ),
        ("_exploit", ["self", "tune_controller", "trial", "trial_to_clone"], "_checkpoint_or_exploit"),
    ],
)
def test_the_population_s_steps_are_called_as_they_are_overridden(
    member: str, parameters: list[str], called_by: str
) -> None:
    step = getattr(PopulationBasedTraining, member)
    assert list(inspect.signature(step).parameters) == parameters
    caller: Any = getattr(PopulationBasedTraining, called_by)
    assert member in caller.__code__.co_names
