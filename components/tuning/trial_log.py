"""The log of a sweep: all trials and decisions, for its page and to resume it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from components.records.trial import (
    CurvePoint,
    Decision,
    ScheduleEntry,
    SweepState,
    Trial,
    TrialReport,
    TrialState,
    Values,
)
from components.tuning.trial_context import COLLAPSED, WORST

SAVED_EVERY = 2.0  # seconds, at least, between two saved states
RUNNING, OVER = "running", ("done", "stopped", "failed", "collapsed")


class TrialLog:
    """The trials of a sweep by number, from 1, and the decisions about them.

    Args:
        save: called with the log after changes, at most every two seconds.
        judgements: evaluations of a trial.
        before: the state of an interrupted sweep.
        values_of: returns the values for a searcher's plain values.
        best: whether trials keep their best weights rather than the last.
    """

    def __init__(
        self,
        save: Callable[[TrialLog], None],
        judgements: int,
        before: SweepState | None = None,
        values_of: Callable[[Values], Values] = dict,
        best: bool = True,
    ):
        self.save, self.judgements, self.values_of, self.best = save, judgements, values_of, best
        self.suggested = list(before.suggested) if before else []
        self.trials: dict[int, Trial] = {}
        self.decisions: list[Decision] = []
        self.numbers: dict[str, int] = {}
        self.began, self._saved = time.monotonic(), 0.0
        self.planned = len(self.suggested)  # number of trials to run; the search sets it
        self.side_by_side = 1  # trials that run at once
        self.finals = 0, 0  # finished trainings of finalists, and all of them
        self._free: list[float] = []  # times since which slots have been free
        self._since: dict[int, float] = {}  # by trial: the time since which its slot had been free
        self._lock = threading.RLock()

    def __deepcopy__(self, memo: object) -> TrialLog:
        """Return this log: Tune copies its arguments, but there must be only one log."""
        return self

    def __getstate__(self) -> Mapping[str, Any]:
        """Return picklable attributes: Tune pickles its arguments, and never reads them again."""
        return {
            name: value for name, value in vars(self).items() if name not in ("save", "values_of", "_lock")
        }

    def rescored(self, finished: int, total: int) -> None:
        """Log that `finished` of `total` trainings of finalists are finished."""
        self.finals = finished, total
        self.save(self)

    def number(self, trial_id: str) -> int:
        """Return a trial's number."""
        return self.numbers[trial_id]

    def add(self, trial_id: str, config: Values) -> int:
        """Add a trial unless it restarts after a lost process; return its number."""
        with self._lock:
            if trial_id in self.numbers:
                return self.numbers[trial_id]
            number = self.numbers[trial_id] = len(self.numbers) + 1
            self.trials[number] = Trial(
                number=number,
                suggested=dict(config),
                values=self.values_of(config),
                state="waiting",
                score=WORST,
            )
            self._changed(at_once=True)  # a suggestion must not be lost
            return number

    def start(self, trial_id: str) -> None:
        """Log that a trial begins or continues."""
        with self._lock:
            trial = self.trials[self.numbers[trial_id]]
            if trial.state not in OVER:
                trial.state = RUNNING
            if trial.offset is None:
                trial.offset = self.offset
                self._since[trial.number] = self._free.pop(0) if self._free else 0.0
            else:  # it has waited in the meantime, so its overhead is unknown
                self._since.pop(trial.number, None)
            self._changed()

    def report(self, trial_id: str, report: TrialReport) -> int:
        """Add a trial's report; return its number."""
        with self._lock:
            trial = self.trials[self.numbers[trial_id]]
            if trial.state not in OVER:
                self._apply(trial, report)
            elif report.failed is None:  # count the work of a stopped trial too
                trial.seconds = report.seconds
            return trial.number

    def _apply(self, trial: Trial, report: TrialReport) -> None:
        if len(report.schedule) > 1:
            trial.schedule = [self._numbered(entry) for entry in report.schedule]
        if report.failed is not None:
            self._fail(trial, report.failed, judged=trial.curve[-1].judged if trial.curve else 0)
            return
        shared = {"judged", "step", "value", "diversity", "seconds", "score"}
        point = CurvePoint(**report.model_dump(include=shared))
        trial.curve = [p for p in trial.curve if p.judged < report.judged] + [point]
        trial.uri, trial.key = report.uri, report.uri.split("/")[2]
        trial.uris = list(dict.fromkeys([*trial.uris, report.uri]))
        trial.step, trial.seconds, trial.cost = report.step, report.seconds, report.cost
        self._changed()

    def _fail(self, trial: Trial, reason: str, judged: int) -> None:
        trial.state, trial.reason = "failed", reason
        self._decided(trial.number, judged, "failed", reason)

    def _numbered(self, entry: ScheduleEntry) -> ScheduleEntry:
        """Return an entry with the number of its donor in place of Tune's id."""
        donor = self.numbers.get(str(entry.donor)) if entry.donor is not None else None
        return entry.model_copy(update={"donor": donor})

    def end(self, trial_id: str, failed: str | None = None) -> None:
        """Log that a trial is over."""
        with self._lock:
            trial = self.trials[self.numbers[trial_id]]
            if failed and trial.state not in OVER:
                self._fail(trial, failed, judged=0)
            if trial.state not in OVER:
                trial.state = "done"
            now = self.offset
            self._free.append(now)
            since = self._since.get(trial.number)
            if since is not None and (overhead := now - since - trial.seconds) > 0:
                trial.overhead = overhead  # a negative one: the work was read from the store
            self._changed()

    def decide(self, number: int, judged: int, did: str, why: str) -> None:
        """Log that a trial continues from a rung, or is stopped there: its later reports do not count."""
        with self._lock:
            trial = self.trials[number]
            if did == "stopped":
                trial.state, trial.reason = "stopped", why
                trial.curve = [point for point in trial.curve if point.judged <= judged]
                if trial.curve:
                    trial.step = trial.curve[-1].step
            else:
                trial.rung = judged
            self._decided(number, judged, did, why)

    def exploit(self, number: int, donor: int, judged: int, config: Values, why: str) -> None:
        """Continue a trial from the donor's checkpoint with other values.

        The result of its original values is preserved.
        """
        with self._lock:
            trial = self.trials[number]
            if trial.began is None:
                now = _with_value(trial, self.best, over=True)
                trial.began = TrialState(values=now.values, curve=now.curve, value=now.value, state=now.state)
            trial.values = self.values_of(config)
            trial.curve = [point for point in self.trials[donor].curve if point.judged <= judged]
            self._decided(number, judged, "exploited", why, donor, trial.values)

    def _decided(
        self,
        number: int,
        judged: int,
        did: str,
        why: str,
        donor: int | None = None,
        values: Values | None = None,
    ) -> None:
        self.decisions.append(
            Decision(
                trial=number, judged=judged, did=did, why=why, offset=self.offset, donor=donor, values=values
            )
        )
        self._changed()

    @property
    def offset(self) -> float:
        """Seconds since the sweep began or continued."""
        return round(time.monotonic() - self.began, 1)

    def state(self) -> SweepState:
        """Return all trials with their values, and all decisions."""
        with self._lock:
            added = [trial.suggested for trial in self.trials.values()]
            return SweepState(
                trials=[_with_value(trial, self.best) for trial in self.trials.values()],
                decisions=self.decisions,
                suggested=added + self.suggested[len(added) :],
            )

    def counts(self) -> dict[str, int]:
        """Return the number of trials in each state."""
        with self._lock:
            states = [trial.state for trial in self.trials.values()]
        return {state: states.count(state) for state in dict.fromkeys(states)}

    def share(self) -> float:
        """Return the number of finished trials; a running trial counts by its share of evaluations."""
        with self._lock:
            return sum(
                1.0 if trial.state in OVER else len(trial.curve) / self.judgements
                for trial in self.trials.values()
            )

    def left(self) -> float | None:
        """Return the estimated seconds that trials and finalists still need, by the time of earlier trials.

        It is None before the work of one trial is done.
        """
        share = self.share()
        if share < 1:
            return None
        with self._lock:
            seconds = [trial.seconds for trial in self.trials.values()]
        trials = max(0.0, self.planned - share) * sum(seconds) / share / self.side_by_side
        finished, finals = self.finals
        return trials + math.ceil((finals - finished) / self.side_by_side) * max(seconds)

    def _changed(self, at_once: bool = False) -> None:
        if at_once or time.monotonic() - self._saved > SAVED_EVERY:
            self.save(self)
            self._saved = time.monotonic()  # after saving, which may take long


def _with_value(trial: Trial, best: bool, over: bool = False) -> Trial:
    """Return a copy with the value of its best or last evaluation; mark collapsed ones if `over`."""
    points = [point for point in trial.curve if point.value is not None]
    if not points or trial.state == "failed":
        return trial.model_copy()
    point = min(points, key=_score) if best else points[-1]
    over = over or trial.state in ("done", "stopped")
    collapsed = over and _score(point) >= COLLAPSED / 2
    state = "collapsed" if collapsed else trial.state
    return trial.model_copy(update={"value": point.value, "score": point.score, "state": state})


def _score(point: CurvePoint) -> float:
    return WORST if point.score is None else point.score
