"""Population-based training that repeats with the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from ray.tune.schedulers import TrialScheduler

from components.common.seeds import derive
from components.config.sweep import Sweep
from components.tuning.asha import NotifiesOnEnd, shown
from components.tuning.ray_private import OpenPopulationBasedTraining
from components.tuning.space import Hyperparameter
from components.tuning.suggest import domain, label_of, plain_values
from components.tuning.trial_log import Story
from models.search_space import Choice, Range


class Population(NotifiesOnEnd, OpenPopulationBasedTraining):
    """Population-based training: the worst go on from the best, changed a little.

    Jaderberg et al. 2017, https://arxiv.org/abs/1711.09846. All wait for each other at every rung (of `grace`
    judgements), and chance is a function of the seed, the trial and the rung: a population that is run again
    goes the same way.
    """

    def __init__(self, hyperparameters: Sequence[Hyperparameter], settings: Sweep, story: Story):
        self.story, self.settings, self.hyperparameters = story, settings, list(hyperparameters)
        mutations: dict[str, Any] = {}
        for h in hyperparameters:
            space = h.space
            mutations[h.name] = (
                [label_of(v) for v in space.values] if isinstance(space, Choice) else domain(h)
            )
        super().__init__(
            time_attr="judged",
            perturbation_interval=settings.grace,
            hyperparam_mutations=mutations,
            custom_explore_fn=self._within,
            log_config=False,
            require_attrs=False,
            synch=True,
        )

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Trials are numbered as they come."""
        self.story.add(trial.trial_id, trial.config)
        if trial not in self.states:  # one that begins again keeps its place
            super().on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Wait for the others at a rung; after the last judgement there is nothing to go on with."""
        self.story.say(trial.trial_id, result)
        if "failed" in result or result["judged"] >= self.settings.judgements:
            return TrialScheduler.CONTINUE
        self._pass_over_the_dead()
        return str(super().on_trial_result(tune_controller, trial, result))

    def _over(self, controller: Any, trial: Any) -> None:
        """It is neither waited for nor gone on from; if the others waited for it alone, they go on."""
        self.states[trial].last_score = None
        self._pass_over_the_dead(trial)
        alive = [t for t in controller.get_live_trials() if t is not trial and not t.is_finished()]
        states = [self.states[t] for t in alive]
        if alive and all(state.last_train_time >= self.rung for state in states):
            super().on_trial_result(controller, alive[-1], dict(states[-1].last_result or {}))

    def _pass_over_the_dead(self, *also: Any) -> None:
        """Those that are over count as being at the next rung: Tune lists some of them among the living."""
        for trial, state in self.states.items():
            if trial.is_finished() or trial in also:
                state.last_train_time = max(state.last_train_time, self.rung)

    def take_turn(self, trial: Any, *rest: Any) -> None:
        """Chance is a function of the trial and the rung."""
        number = self.story.number(trial.trial_id)
        rung = self.states[trial].last_train_time
        with seeded(derive(self.settings.seed, "population", number, rung)):
            super().take_turn(trial, *rest)

    def exploit(self, controller: Any, trial: Any, donor: Any) -> None:
        """Keep in the story from which trial another continues, and why."""
        score, better = (-(self.states[t].last_score or 0.0) for t in (trial, donor))
        number, source = (self.story.number(t.trial_id) for t in (trial, donor))
        rung = self.states[trial].last_train_time
        super().exploit(controller, trial, donor)
        why = f"{shown(score)} is among the worst: goes on from trial {source} ({shown(better)}), changed"
        self.story.exploit(number, source, rung, trial.config, why)

    def _within(self, config: dict[str, Any]) -> dict[str, Any]:
        """Values that a perturbation has led out of their range go back to its end."""
        for h in self.hyperparameters:
            if isinstance(h.space, Range):
                config[h.name] = plain_values(min(max(config[h.name], h.space.low), h.space.high))
                if h.integer:
                    config[h.name] = round(config[h.name])
        return config


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The process's random numbers from a seed inside; as they were afterwards."""
    state, numpy_state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)
