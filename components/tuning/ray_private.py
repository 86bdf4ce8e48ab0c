"""Private members of Ray Tune that populations need, under public names.

Only files of this name use private members of Ray. If a new version of Ray changes one of these,
tests/tuning/test_ray_private.py fails.
"""

from __future__ import annotations

from typing import Any, cast

from ray.tune.experiment import Trial
from ray.tune.schedulers import PopulationBasedTraining


class OpenPopulationBasedTraining(PopulationBasedTraining):
    """Tune's synchronous population-based training, open to subclasses at each trial's turn at a rung."""

    @property
    def states(self) -> dict[Trial, Any]:
        """The scheduler's state of each trial: last_score, last_result and last_train_time."""
        return cast("dict[Trial, Any]", self._trial_state)

    @property
    def rung(self) -> int:
        """The time at which trials next wait for each other."""
        return int(self._next_perturbation_sync)

    def take_turn(self, trial: Trial, *rest: Any) -> None:
        """Handle a trial at a rung: save the checkpoint of a good one; exploit a donor for a bad one."""
        super()._checkpoint_or_exploit(trial, *rest)

    def exploit(self, controller: Any, trial: Trial, donor: Trial) -> None:
        """Have a trial continue from the checkpoint of its donor, with changed values."""
        # During a save Tune would stop the trial at its next evaluation instead of pausing it.
        trial.temporary_state.saving_to = None
        super()._exploit(controller, trial, donor)

    def _checkpoint_or_exploit(self, trial: Trial, *rest: Any) -> None:
        self.take_turn(trial, *rest)

    def _exploit(self, tune_controller: Any, trial: Trial, trial_to_clone: Trial) -> None:
        self.exploit(tune_controller, trial, trial_to_clone)
