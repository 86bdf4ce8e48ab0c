"""Which trials are finalists, and which finalist wins."""

from __future__ import annotations

from typing import Any

import pytest

from components.common.errors import RunError
from components.config.sweep import Sweep
from components.records.sweep import Finalist, FinalistSeed
from components.records.trial import CurvePoint, Trial
from components.tuning.finalists import finalists, winner


def sweep(**settings: Any) -> Sweep:
    return Sweep(search={"lr": None}, **settings)


def trial(number: int, score: float, judged: int = 8, state: str = "done", cost: float = 1.0) -> Trial:
    curve = [CurvePoint(judged=i) for i in range(1, judged + 1)]
    about: dict[str, Any] = {"number": number, "state": state, "score": score, "value": score, "cost": cost}
    return Trial(**about, curve=curve, values={"lr": number})


def numbers(trials: list[Trial]) -> list[int]:
    return [trial.number for trial in trials]


def test_finalists_came_farthest_and_are_the_best_of_those() -> None:
    trials = [trial(1, 5.0), trial(2, 1.0, 2, "stopped"), trial(3, 4.0), trial(4, 2.0, 4, "stopped")]
    assert numbers(finalists(trials, sweep(finalists=3))) == [3, 1, 4]


def test_who_ended_early_by_itself_is_not_behind_who_did_not() -> None:
    assert numbers(finalists([trial(1, 5.0), trial(2, 1.0, 4)], sweep(finalists=1))) == [2]


def test_twins_are_one_finalist() -> None:
    trials = [trial(1, 5.0), trial(2, 4.0), trial(3, 3.0)]
    trials[2].values = trials[1].values
    assert numbers(finalists(trials, sweep(finalists=2))) == [3, 1]


def test_collapsed_and_failed_trials_are_no_finalists() -> None:
    judged = [trial(1, 5.0), trial(2, 1.0, state="collapsed"), trial(3, 0.0, state="failed")]
    assert numbers(finalists(judged, sweep(finalists=3))) == [1]
    lost = [Trial(number=1, state="failed", reason="it became nan.")]
    for trials, why in (
        (lost, "no trial of the sweep can win: trial 1 failed: it became nan"),
        (judged[1:2] + lost, r"1 of 2 have samples whose diversity is below 0.5 of .*; trial 1 failed"),
    ):
        with pytest.raises(RunError, match=why):
            finalists(trials, sweep())


def test_where_cost_counts_finalists_are_those_that_none_beats_in_both() -> None:
    settings = sweep(searcher="optuna", scheduler="none", cost=True, finalists=5)
    trials = [
        trial(1, 3.0, cost=9.0),
        trial(2, 2.0, cost=5.0),
        trial(3, 1.0, cost=8.0),
        trial(4, 2.5, cost=6.0),
    ]
    assert numbers(finalists(trials, settings)) == [3, 2]
    assert numbers(finalists(trials, settings, {"lr": 1})) == [3, 2, 1]  # and what they are to beat
    assert numbers(finalists(trials, settings, {"lr": 9})) == [3, 2, 0]


def test_where_what_is_cheap_is_preferred_finalists_are_the_cheapest_that_are_not_worse() -> None:
    settings = sweep(searcher="optuna", scheduler="none", cost=True, objective="cost", finalists=2)
    trials = [trial(n, score, cost=9.0 - score) for n, score in enumerate((3.0, 1.0, 2.0, 2.5, 4.0), 1)]
    assert numbers(finalists(trials, settings, {"lr": 1})) == [1, 4]
    assert numbers(finalists(trials, settings, {"lr": 2})) == [2, 3]


def test_after_finalists_that_cannot_win_come_the_next() -> None:
    trials = [trial(n, float(n)) for n in (1, 2, 3)]
    lost = finalists(trials, sweep(finalists=2))
    assert numbers(lost) == [1, 2]
    assert numbers(finalists(trials, sweep(finalists=2), scored=lost)) == [3]
    assert finalists(trials, sweep(finalists=2), scored=trials) == []


def final(number: int, mean: float | None, cost: float = 1.0, diversity: float = 1.0) -> Finalist:
    repeats = [FinalistSeed(seed=seed) for seed in (0, 1)]
    about: dict[str, Any] = {"mean": mean, "cost": cost, "diversity": diversity, "repeats": repeats}
    return Finalist(number=number, values={"lr": number}, **about)


def test_the_winner_has_the_lowest_mean_and_diverse_samples() -> None:
    scored = [final(2, 1.0, diversity=0.2), final(3, 2.0), final(1, 3.0), final(4, None)]
    assert winner(scored, sweep(), 0.5, {"lr": 1}).number == 3
    with pytest.raises(RunError, match="none of the 1 best trials"):
        winner(scored[:1], sweep(), 0.5, {"lr": 1})


def test_the_cheapest_that_is_not_worse_may_win() -> None:
    settings = sweep(searcher="optuna", scheduler="none", cost=True, objective="cost")
    scored = [
        final(2, 1.0, cost=4.0),
        final(3, 2.0, cost=2.0),
        final(1, 3.0, cost=8.0),
        final(4, 3.5, cost=1.0),
    ]
    assert winner(scored, settings, 0.5, {"lr": 1}).number == 3
