"""ASHA whose decisions do not depend on the order in which trials report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from components.config.sweep import Sweep
from components.tuning.trial import COLLAPSED, WORST
from components.tuning.trial_log import Story


class Numbered(FIFOScheduler):
    """Every trial to its end, in order."""

    def __init__(self, story: Story):
        super().__init__()
        self.story = story

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Trials are numbered as they come."""
        self.story.add(trial.trial_id, trial.config)
        super().on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Nothing is stopped."""
        self.story.say(trial.trial_id, result)
        return TrialScheduler.CONTINUE


class NotifiesOnEnd:
    """Of a scheduler that has trials wait for each other: nobody waits for one that is over."""

    _over: Callable[[Any, Any], None]

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """A trial has come to its end, or was stopped."""
        self._over(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """It failed, or lost its process and begins again: then Tune has taken it down already."""
        if trial.status != Trial.ERROR:
            self._over(tune_controller, trial)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """It is not needed."""
        self._over(tune_controller, trial)


class InOrder(NotifiesOnEnd, AsyncHyperBandScheduler):
    """ASHA (Li et al. 2020, https://arxiv.org/abs/1810.05934) that decides in the order of trials.

    Whether a trial goes on from a rung depends on those before it alone, not on who was faster: so the same
    seed gives the same sweep, on any number of cores and however often it was interrupted. A trial whose
    predecessors are not there yet goes on until they are; what it says meanwhile does not count if it is then
    stopped.
    """

    def __init__(self, settings: Sweep, story: Story):
        super().__init__(
            time_attr="judged",
            max_t=settings.judgements + 1,  # the last one stops nobody
            grace_period=settings.grace,
            reduction_factor=settings.factor,
        )
        self.story, self.settings = story, settings
        self.rungs = settings.rungs
        self.values: dict[int, dict[int, float]] = {rung: {} for rung in self.rungs}  # by rung and number
        self.passed: dict[int, int] = {}  # number -> the highest rung from which it may go on
        self.stopped: dict[int, int] = {}  # number -> the rung from which it may not
        self.over: set[int] = set()
        self.trials: dict[int, Any] = {}

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Trials are numbered as they come."""
        number = self.story.add(trial.trial_id, trial.config)
        if number not in self.trials:
            self.trials[number], self.passed[number] = trial, 0
            super().on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Keep what a trial says at a rung, decide what can be decided."""
        number = self.story.say(trial.trial_id, result)
        if result["judged"] in self.values:
            self.values[result["judged"]].setdefault(number, result["score"])
        self.settle(tune_controller)
        return TrialScheduler.STOP if number in self.stopped else TrialScheduler.CONTINUE

    def _over(self, controller: Any, trial: Any) -> None:
        self.over.add(self.story.number(trial.trial_id))
        self.settle(controller)

    def settle(self, controller: Any) -> None:
        """Decide, rung by rung and in the order of trials, until one is missing."""
        for below, rung in zip([0, *self.rungs], self.rungs, strict=False):
            for number in sorted(self.trials):
                if number in self.stopped or self.passed[number] >= rung:
                    continue
                known = self.values.get(below if self.passed[number] < below else rung, {})
                if number not in known and number in self.over:
                    continue  # it failed, or ended early
                if number not in known or self.passed[number] < below:
                    break  # those after it wait for what it will say, or for what is said of it
                self._decide(controller, number, rung)

    def _decide(self, controller: Any, number: int, rung: int) -> None:
        value, others = self.values[rung][number], self._at(rung)
        told = {"judged": rung, "score": value}
        if super().on_trial_result(controller, self.trials[number], told) == TrialScheduler.STOP:
            self.stopped[number] = rung
            did, than = "stopped", "is not among"
        else:
            self.passed[number] = rung
            did, than = "went on", "is among"
        share = f"the best 1/{self.settings.factor} of {others + 1} so far" if others else "the first"
        self.story.decide(number, rung, did, f"{shown(value)} {than} {share} at judgement {rung}")

    def _at(self, rung: int) -> int:
        """How many were compared at a rung so far."""
        return sum(max(self.passed[n], self.stopped.get(n, 0)) >= rung for n in self.trials)


def shown(score: float) -> str:
    """A score as people read it."""
    if score >= WORST:
        return "no value"
    return f"{score - COLLAPSED:.4g}, collapsed," if score >= COLLAPSED / 2 else f"{score:.4g}"
