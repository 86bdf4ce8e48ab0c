"""The log of a sweep: what counts of a trial, and what an interrupted sweep continues from."""

from __future__ import annotations

from typing import Any

import pytest

from components.records.trial import TrialReport
from components.tuning.importance import comparable_scores
from components.tuning.trial_log import TrialLog


def report(judged: int, value: float, **more: Any) -> TrialReport:
    about = {"judged": judged, "step": judged * 10, "value": value, "score": value, "diversity": 0.9}
    about |= {"seconds": judged * 1.0, "cost": judged * 1.0, "uri": "store/trial/k/attempts/1"}
    return TrialReport(**about | more)


def two_trials(judgements: int = 4) -> TrialLog:
    log = TrialLog(lambda log: None, judgements)
    for number in (1, 2):
        log.add(f"t{number}", {"lr": number})
        log.start(f"t{number}")
    return log


def test_a_log_knows_every_trial_and_its_value() -> None:
    log = two_trials()
    for judged, value in enumerate((3.0, 1.0, 2.0), 1):
        log.report("t1", report(judged, value))
    log.end("t1")
    best = log.state().trials[0]
    log.best = False
    last = log.state().trials[0]
    assert (best.value, last.value, best.state, best.key) == (1.0, 2.0, "done", "k")
    assert log.counts() == {"done": 1, "running": 1}


def test_what_a_stopped_trial_says_later_does_not_count() -> None:
    log = two_trials()
    for judged in (1, 2, 3):
        log.report("t1", report(judged, 4.0 - judged))
    log.decide(1, 2, "stopped", "2 is not among the best")
    log.report("t1", report(4, 0.0))
    trial = log.state().trials[0]
    assert trial.state == "stopped" and trial.value == 2.0 and len(trial.curve) == 2


def test_a_collapsed_trial_is_told_apart() -> None:
    log = two_trials()
    log.report("t1", report(1, 0.1, score=0.1 + 1e6, diversity=0.1))
    log.end("t1")
    assert log.state().trials[0].state == "collapsed"


def test_a_failed_trial_has_its_reason() -> None:
    log = two_trials()
    log.report("t1", TrialReport(failed="it became nan", score=1e9, judged=0))
    log.end("t1")
    log.end("t2", "its process ended")
    reasons = [trial.reason for trial in log.state().trials]
    assert reasons == ["it became nan", "its process ended"] and log.counts() == {"failed": 2}


def test_an_interrupted_log_suggests_what_it_suggested() -> None:
    log = two_trials()
    assert TrialLog(lambda log: None, 4, log.state()).suggested == [{"lr": 1}, {"lr": 2}]


def test_what_was_suggested_survives_two_interruptions() -> None:
    again = TrialLog(lambda log: None, 4, two_trials().state())
    again.add("new", {"lr": 1})
    assert TrialLog(lambda log: None, 4, again.state()).suggested == [{"lr": 1}, {"lr": 2}]


def test_what_a_trial_came_to_before_it_went_on_from_another_is_compared() -> None:
    """Else the worst of a population would be missing where hyperparameters are weighed."""
    log = two_trials()
    for judged in (1, 2):
        log.report("t1", report(judged, 3.0))
        log.report("t2", report(judged, 5.0))
    log.exploit(2, 1, 2, {"lr": 1.2}, "changed")
    log.report("t2", report(3, 2.0))
    log.exploit(2, 1, 3, {"lr": 0.8}, "changed")
    trials = log.state().trials
    assert trials[1].values == {"lr": 0.8} and [point.value for point in trials[1].curve] == [3.0, 3.0]
    assert comparable_scores(trials, [2]) == [({"lr": 1}, 3.0), ({"lr": 2}, 5.0)]


def test_a_trial_that_had_collapsed_when_it_went_on_from_another_counts_as_the_worst() -> None:
    log = two_trials()
    log.report("t1", report(1, 3.0))
    log.report("t2", report(1, 0.1, score=0.1 + 1e6))
    log.exploit(2, 1, 1, {"lr": 1.2}, "changed")
    assert comparable_scores(log.state().trials, [1]) == [({"lr": 1}, 3.0), ({"lr": 2}, 3.0)]


def test_the_time_left_is_of_trials_and_finalists() -> None:
    log = two_trials(judgements=2)
    log.planned, log.finals, log.side_by_side = 6, (0, 3), 2
    assert log.left() is None
    for judged in (1, 2):
        log.report("t1", report(judged, 1.0, seconds=50.0 * judged))
        log.report("t2", report(judged, 1.0, seconds=30.0 * judged))
    # Four more of 80 s, two at a time, and three finalists of at most 100 s, in two rounds.
    assert log.left() == pytest.approx(160 + 200)
    log.planned, log.finals = 2, (3, 3)
    assert log.left() == 0.0
