"""Trials of a sweep: what a trial writes and reports, and the sweep's log of all trials and decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.records.base import Number, Record

Values = Mapping[str, Any]
"""Hyperparameters by name, as a config has them."""

CANNOT_WIN = ("failed", "collapsed")


class ScheduleEntry(Record):
    """From `step` on, a trial is trained with changed `values`; a schedule begins with all of them at 0."""

    step: int = 0
    values: Values = {}
    donor: int | str | None = None  # the trial whose checkpoint it continues from: its number, or Tune's id


class TrialEvaluation(Record):
    """An evaluation of a trial, in curve.json of its folder."""

    judged: int  # 1 for the first
    step: int
    seconds: float  # of work so far
    metrics: Mapping[str, Number]
    cost: Number = None  # None: the seconds


class FailedTrial(Record):
    """failed.json of a trial: training it again would fail again."""

    reason: str
    uri: str  # of the attempt that failed


class TrialReport(Record):
    """A report of a trial to the sweep: an evaluation, or that it failed."""

    judged: int
    score: float  # what trials are compared by, lower is better
    schedule: list[ScheduleEntry] = []
    step: int = 0
    value: Number = None  # of the sweep's metric
    diversity: Number = None
    seconds: float = 0.0
    cost: Number = None
    uri: str = ""
    failed: str | None = None  # why


class TrialPointer(Record):
    """The checkpoint of a trial that others may continue from."""

    schedule: list[ScheduleEntry]
    step: int
    uri: str
    trial: str  # Tune's id


class CurvePoint(Record):
    """A point of a trial's curve."""

    judged: int
    step: int = 0
    value: Number = None
    diversity: Number = None
    seconds: Number = None
    score: Number = None


class TrialState(Record):
    """The values of a trial and their results so far."""

    values: Values = {}
    curve: list[CurvePoint] = []
    value: Number = None  # of the evaluation that counts: the best or the last
    state: str = ""  # waiting, running, done, stopped, failed or collapsed

    @property
    def cannot_win(self) -> bool:
        """Whether the trial is out, whatever its value."""
        return self.state in CANNOT_WIN


class Trial(TrialState):
    """A trial of a sweep."""

    number: int  # from 1
    suggested: Values = {}  # by the searcher, for which values that are not plain have names
    reason: str | None = None  # why it failed or was stopped
    uri: str | None = None  # the folder of its newest attempt
    uris: list[str] = []  # of all its attempts
    key: str | None = None
    score: Number = None
    cost: Number = None
    step: int = 0
    rung: int = 0
    seconds: float = 0.0  # of work
    overhead: Number = None  # seconds that it took besides
    offset: Number = None  # seconds from the sweep's start to its own
    events: int = 0  # of the health monitor
    damaged: int = 0  # checkpoints that could not be read, so that it went on from an earlier one
    picture: str | None = None  # its newest samples
    schedule: list[ScheduleEntry] | None = None  # None: the same values from the first step to the last
    began: TrialState | None = None  # before it continued from another trial

    @property
    def original(self) -> TrialState:
        """The trial before it continued from another, if it did."""
        return self.began or self


class Decision(Record):
    """A decision of the scheduler about a trial."""

    trial: int
    judged: int = 0
    did: str = ""  # went on, stopped, exploited or failed
    why: str = ""
    offset: Number = None  # seconds since the sweep began
    donor: int | None = None  # whose checkpoint the trial continues from
    values: Values | None = None  # that it continues with


class SweepState(Record):
    """trials.json of a sweep: what an interrupted one continues from."""

    trials: list[Trial] = []
    decisions: list[Decision] = []
    suggested: list[
        Values
    ] = []  # in order, with those of before an interruption that are not tried again yet
