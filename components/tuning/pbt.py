"""Population-based training that is reproducible from its seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from ray.tune.schedulers import TrialScheduler

from components.common.seeds import derive
from components.config.sweep import Sweep
from components.records.trial import TrialReport
from components.tuning.asha import NotifiesOnEnd, written_score
from components.tuning.ray_private import OpenPopulationBasedTraining
from components.tuning.space import Hyperparameter
from components.tuning.suggest import domain, label_of, plain_values
from components.tuning.trial_log import TrialLog
from models.search_space import Choice, Range


class DeterministicPBT(NotifiesOnEnd, OpenPopulationBasedTraining):
    """Population-based training: the worst trials continue from the best, with slightly changed values.

    Jaderberg et al. 2017, https://arxiv.org/abs/1711.09846. Trials wait for each other at every rung, each
    `grace_period` evaluations, and random numbers are a function of the seed, the trial and the rung: so the
    same seed gives the same population.
    """

    def __init__(self, hyperparameters: Sequence[Hyperparameter], settings: Sweep, log: TrialLog):
        self.log, self.settings, self.hyperparameters = log, settings, list(hyperparameters)
        mutations: dict[str, Any] = {}
        for h in hyperparameters:
            space = h.space
            mutations[h.name] = (
                [label_of(v) for v in space.values] if isinstance(space, Choice) else domain(h)
            )
        super().__init__(
            time_attr="judged",
            perturbation_interval=settings.grace_period,
            hyperparam_mutations=mutations,
            custom_explore_fn=self._within,
            log_config=False,
            require_attrs=False,
            synch=True,
        )

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Number trials in the order in which they are added."""
        self.log.add(trial.trial_id, trial.config)
        if trial not in self.states:  # a restarted trial keeps its state
            super().on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Log the report, and wait for the others at a rung, but not after the last evaluation."""
        report = TrialReport.model_validate(result)
        self.log.report(trial.trial_id, report)
        if report.failed is not None or report.judged >= self.settings.evaluations:
            return TrialScheduler.CONTINUE
        self._skip_finished()
        return str(super().on_trial_result(tune_controller, trial, result))

    def _over(self, controller: Any, trial: Any) -> None:
        """Exclude a trial that is over; resume the others if they waited for it."""
        self.states[trial].last_score = None
        self._skip_finished(trial)
        alive = [t for t in controller.get_live_trials() if t is not trial and not t.is_finished()]
        states = [self.states[t] for t in alive]
        if alive and all(state.last_train_time >= self.rung for state in states):
            super().on_trial_result(controller, alive[-1], dict(states[-1].last_result or {}))

    def _skip_finished(self, *others: Any) -> None:
        """Set trials that are over to the next rung, since Tune lists some of them as alive."""
        for trial, state in self.states.items():
            if trial.is_finished() or trial in others:
                state.last_train_time = max(state.last_train_time, self.rung)

    def take_turn(self, trial: Any, *rest: Any) -> None:
        """Draw random numbers from a seed of the trial and the rung."""
        number = self.log.number(trial.trial_id)
        rung = self.states[trial].last_train_time
        with seeded(derive(self.settings.seed, "population", number, rung)):
            super().take_turn(trial, *rest)

    def exploit(self, controller: Any, trial: Any, donor: Any) -> None:
        """Have a trial continue from its donor, and log why."""
        score, better = (-(self.states[t].last_score or 0.0) for t in (trial, donor))
        number, source = (self.log.number(t.trial_id) for t in (trial, donor))
        rung = self.states[trial].last_train_time
        super().exploit(controller, trial, donor)
        continuation = f"continues from trial {source} ({written_score(better)}), changed"
        why = f"{written_score(score)} is among the worst: {continuation}"
        self.log.exploit(number, source, rung, trial.config, why)

    def _within(self, config: dict[str, Any]) -> dict[str, Any]:
        """Clip perturbed values to their ranges."""
        for h in self.hyperparameters:
            if isinstance(h.space, Range):
                config[h.name] = plain_values(min(max(config[h.name], h.space.low), h.space.high))
                if h.integer:
                    config[h.name] = round(config[h.name])
        return config


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the process's random numbers inside the block, and restore their state afterwards."""
    state, numpy_state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)
