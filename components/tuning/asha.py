"""ASHA with decisions that do not depend on the order in which trials report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from components.config.sweep import Sweep
from components.records.trial import TrialReport
from components.tuning.trial_context import COLLAPSED, WORST
from components.tuning.trial_log import TrialLog


class FIFO(FIFOScheduler):
    """Run every trial to its end, in order."""

    def __init__(self, log: TrialLog):
        super().__init__()
        self.log = log

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Number trials in the order in which they are added."""
        self.log.add(trial.trial_id, trial.config)
        super().on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        """Log the report; no trial is stopped."""
        self.log.report(trial.trial_id, TrialReport.model_validate(result))
        return TrialScheduler.CONTINUE


class NotifiesOnEnd:
    """Base of schedulers whose trials wait for each other: it reports each trial that is over to `_over`."""

    _over: Callable[[Any, Any], None]

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> None:
        """Report a trial that has finished, or was stopped."""
        self._over(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Report a trial that failed; one that lost its process is restarted, and is not over."""
        if trial.status != Trial.ERROR:
            self._over(tune_controller, trial)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Report a trial that is not needed."""
        self._over(tune_controller, trial)


class DeterministicASHA(NotifiesOnEnd, AsyncHyperBandScheduler):
    """ASHA (Li et al. 2020, https://arxiv.org/abs/1810.05934) that decides in the order of trials.

    Whether a trial continues from a rung depends only on the trials before it, not on their speed: so the
    same seed gives the same sweep on any number of cores and after any interruption. A trial runs on until
    those before it have reached the rung; its reports in the meantime do not count if it is then stopped.
    """

    def __init__(self, settings: Sweep, log: TrialLog):
        super().__init__(
            time_attr="judged",
            max_t=settings.evaluations + 1,  # the last evaluation stops no trial
            grace_period=settings.grace_period,
            reduction_factor=settings.reduction_factor,
        )
        self.log, self.settings = log, settings
        self.rungs = settings.rungs
        self.values: dict[int, dict[int, float]] = {rung: {} for rung in self.rungs}  # by rung and number
        self.passed: dict[int, int] = {}  # number -> the highest rung from which it may continue
        self.stopped: dict[int, int] = {}  # number -> the rung from which it may not
        self.over: set[int] = set()
        self.trials: dict[int, Any] = {}

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Number trials in the order in which they are added."""
        number = self.log.add(trial.trial_id, trial.config)
        if number not in self.trials:
            self.trials[number], self.passed[number] = trial, 0
            super().on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        """Log the report, and make the decisions that are possible now."""
        report = TrialReport.model_validate(result)
        number = self.log.report(trial.trial_id, report)
        if report.judged in self.values:
            self.values[report.judged].setdefault(number, report.score)
        self.settle(tune_controller)
        return TrialScheduler.STOP if number in self.stopped else TrialScheduler.CONTINUE

    def _over(self, controller: Any, trial: Any) -> None:
        self.over.add(self.log.number(trial.trial_id))
        self.settle(controller)

    def settle(self, controller: Any) -> None:
        """Decide, rung by rung and in the order of trials, until a score is missing."""
        for below, rung in zip([0, *self.rungs], self.rungs, strict=False):
            for number in sorted(self.trials):
                if number in self.stopped or self.passed[number] >= rung:
                    continue
                scores = self.values.get(below if self.passed[number] < below else rung, {})
                if number not in scores and number in self.over:
                    continue  # the trial failed, or ended early
                if number not in scores or self.passed[number] < below:
                    break  # later trials wait for its report, or for the decision about it
                self._decide(controller, number, rung)

    def _decide(self, controller: Any, number: int, rung: int) -> None:
        value, others = self.values[rung][number], self._at(rung)
        result = {"judged": rung, "score": value}
        if super().on_trial_result(controller, self.trials[number], result) == TrialScheduler.STOP:
            self.stopped[number] = rung
            did, than = "stopped", "is not among"
        else:
            self.passed[number] = rung
            did, than = "went on", "is among"
        share = (
            f"the best 1/{self.settings.reduction_factor} of {others + 1} so far" if others else "the first"
        )
        self.log.decide(number, rung, did, f"{written_score(value)} {than} {share} at evaluation {rung}")

    def _at(self, rung: int) -> int:
        """Return how many trials were compared at a rung so far."""
        return sum(max(self.passed[n], self.stopped.get(n, 0)) >= rung for n in self.trials)


def written_score(score: float) -> str:
    """Return a score as text for a sentence."""
    if score >= WORST:
        return "no value"
    return f"{score - COLLAPSED:.4g}, collapsed," if score >= COLLAPSED / 2 else f"{score:.4g}"
