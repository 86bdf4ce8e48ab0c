"""Records of trials and sweeps: what a writer constructs is read again, whatever is between it."""

from __future__ import annotations

import json

from components.records.sweep import Finalist, Importance, SearchedHyperparameter, Share, SweepResult, Winner
from components.records.trial import CurvePoint, ScheduleEntry, SweepState, Trial, TrialState


def test_a_trial_that_continued_from_another_has_an_original() -> None:
    trial = Trial(number=1, values={"lr": 2.0}, state="collapsed")
    assert trial.original is trial and trial.cannot_win
    trial.began = TrialState(values={"lr": 1.0}, state="done")
    assert trial.original.values == {"lr": 1.0} and not trial.original.cannot_win


def test_a_state_is_read_as_it_was_written() -> None:
    schedule = [ScheduleEntry(values={"lr": 1.0, "widths": [8, 4]}), ScheduleEntry(step=4, donor=2)]
    trial = Trial(number=1, schedule=schedule, curve=[CurvePoint(judged=1, value=0.5)])
    state = SweepState(trials=[trial], suggested=[{"lr": 1.0}])
    assert SweepState.read(json.loads(json.dumps(state.to_json()))) == state


def test_what_is_torn_in_a_result_is_left_out() -> None:
    result = SweepResult(
        trials=[Trial(number=1)],
        hyperparameters=[SearchedHyperparameter(name="n", low=1, high=4, integer=True)],
        finalists=[Finalist(number=1, mean=2.0)],
        winner=Winner(number=1),
        importance=Importance(n=8, at="the end", of={"n": Share(value=0.5)}),
    )
    content = result.to_json()
    assert content["hyperparameters"][0]["low"] == 1 and isinstance(content["hyperparameters"][0]["low"], int)
    content["trials"] += [3, {"state": "done"}]
    content["importance"]["of"]["other"] = {"value": "much"}
    content |= {"settings": 3, "overhead_seconds": {"max": 2.0}, "of a later version": 1}
    assert SweepResult.read(content) == result
