"""Finalists, the winner, and what it is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.common.errors import InputError, RunError
from components.config.sweep import Sweep
from components.pipeline.confirmation import compared
from components.records.evaluation import JudgedMetric
from components.store import Store
from components.tuning import confirmation
from components.tuning.confirmation import duel, interval
from components.tuning.finalists import finalists, winner
from components.tuning.importance import comparable_scores
from components.tuning.space import full_schedule
from components.tuning.sweep import _prune, refuse_changed
from components.tuning.trial_log import Story


def sweep(**settings: Any) -> Sweep:
    return Sweep(search={"lr": None}, **settings)


def trial(
    number: int, score: float, judged: int = 8, state: str = "done", cost: float = 1.0
) -> dict[str, Any]:
    about = {"number": number, "state": state, "score": score, "value": score, "cost": cost, "reason": None}
    return about | {"curve": [{}] * judged, "values": {"lr": number}}


def numbers(found: list[dict[str, Any]]) -> list[int]:
    return [one["number"] for one in found]


def test_finalists_came_farthest_and_are_the_best_of_those() -> None:
    found = [trial(1, 5.0), trial(2, 1.0, 2, "stopped"), trial(3, 4.0), trial(4, 2.0, 4, "stopped")]
    assert numbers(finalists(found, sweep(finalists=3))) == [3, 1, 4]


def test_who_ended_early_by_itself_is_not_behind_who_did_not() -> None:
    assert numbers(finalists([trial(1, 5.0), trial(2, 1.0, 4)], sweep(finalists=1))) == [2]


def test_twins_are_one_finalist() -> None:
    found = [trial(1, 5.0), trial(2, 4.0), trial(3, 3.0)]
    found[2]["values"] = found[1]["values"]
    assert numbers(finalists(found, sweep(finalists=2))) == [3, 1]


def test_collapsed_and_failed_trials_are_no_finalists() -> None:
    found = [trial(1, 5.0), trial(2, 1.0, state="collapsed"), trial(3, 0.0, state="failed")]
    assert numbers(finalists(found, sweep(finalists=3))) == [1]
    lost = [trial(1, 1.0, state="failed") | {"value": None, "reason": "it became nan."}]
    with pytest.raises(
        RunError, match="no trial of the sweep came to a value; the first said: it became nan"
    ):
        finalists(lost, sweep())


def test_where_cost_counts_finalists_are_those_that_none_beats_in_both() -> None:
    settings = sweep(searcher="optuna", scheduler="none", cost=True, finalists=5)
    found = [
        trial(1, 3.0, cost=9.0),
        trial(2, 2.0, cost=5.0),
        trial(3, 1.0, cost=8.0),
        trial(4, 2.5, cost=6.0),
    ]
    assert numbers(finalists(found, settings)) == [3, 2]
    assert numbers(finalists(found, settings, {"lr": 1})) == [3, 2, 1]  # and what they are to beat
    assert numbers(finalists(found, settings, {"lr": 9})) == [3, 2, 0]


def test_where_what_is_cheap_is_preferred_finalists_are_the_cheapest_that_are_not_worse() -> None:
    settings = sweep(searcher="optuna", scheduler="none", cost=True, prefer="cost", finalists=2)
    found = [trial(n, score, cost=9.0 - score) for n, score in enumerate((3.0, 1.0, 2.0, 2.5, 4.0), 1)]
    assert numbers(finalists(found, settings, {"lr": 1})) == [1, 4]
    assert numbers(finalists(found, settings, {"lr": 2})) == [2, 3]


def test_after_finalists_that_cannot_win_come_the_next() -> None:
    found = [trial(n, float(n)) for n in (1, 2, 3)]
    lost = finalists(found, sweep(finalists=2))
    assert numbers(lost) == [1, 2]
    assert numbers(finalists(found, sweep(finalists=2), scored=lost)) == [3]
    assert finalists(found, sweep(finalists=2), scored=found) == []


def test_checkpoints_of_a_finalists_twin_are_kept(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for name in ("a", "b", "again"):
        store.write_json(f"{name}/checkpoints/x", {})
    found = [{"number": n, "uris": uris} for n, uris in ((1, ["a"]), (2, ["a"]), (3, ["b"]), (4, []))]
    scored = [{"number": 1, "repeats": [{"uri": "a"}, {"uri": "again"}, {"uri": None}]}]

    def kept(policy: str) -> list[str]:
        _prune(store, found, scored, policy)
        return [name for name in ("a", "b", "again") if store.exists(f"{name}/checkpoints/x")]

    assert kept("all") == ["a", "b", "again"]
    assert kept("finalists") == ["a", "again"] and kept("none") == []


def final(number: int, mean: float | None, cost: float = 1.0, diversity: float = 1.0) -> dict[str, Any]:
    about = {"number": number, "mean": mean, "cost": cost, "diversity": diversity, "repeats": [{}, {}]}
    return about | {"values": {"lr": number}, "schedule": None}


def test_the_winner_has_the_lowest_mean_and_diverse_samples() -> None:
    scored = [final(2, 1.0, diversity=0.2), final(3, 2.0), final(1, 3.0), final(4, None)]
    assert winner(scored, sweep(), 0.5, {"lr": 1})["number"] == 3
    with pytest.raises(RunError, match="none of the 1 best trials"):
        winner(scored[:1], sweep(), 0.5, {"lr": 1})


def test_the_cheapest_that_is_not_worse_may_win() -> None:
    settings = sweep(searcher="optuna", scheduler="none", cost=True, prefer="cost")
    scored = [
        final(2, 1.0, cost=4.0),
        final(3, 2.0, cost=2.0),
        final(1, 3.0, cost=8.0),
        final(4, 3.5, cost=1.0),
    ]
    assert winner(scored, settings, 0.5, {"lr": 1})["number"] == 3


def test_intervals_are_students() -> None:
    mean, low, high = interval([1.0, 2.0, 3.0])
    assert mean == 2.0 and (low, high) == pytest.approx((2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5), rel=1e-3)
    assert interval([1.0]) == (1.0, None, None)


def pairs(*differences: float) -> list[dict[str, Any]]:
    return [{"seed": i, "winner": 5.0 + i + d, "default": 5.0 + i} for i, d in enumerate(differences)]


def test_a_gain_is_one_where_chance_does_not_explain_it() -> None:
    found = duel("kid", pairs(-1.0, -1.1, -0.9), n=100, split="test", floor=0.1)
    assert found["says"] == "better" and found["difference"]["value"] == pytest.approx(-1.0)
    assert duel("kid", pairs(-1.0, 1.1, -0.3))["says"] == "no significant gain"
    assert duel("kid", pairs(1.0, 1.1, 0.9))["says"] == "worse"
    assert duel("kid", pairs(0.0, 0.0))["says"] == "the winner is what the config has"
    assert duel("kid", pairs(-1.0))["says"] == "one seed says nothing of chance"
    assert found["seeds"] == [0, 1, 2] and found["n"] == 100


def test_a_winner_that_fails_on_fresh_seeds_is_told() -> None:
    judged = {
        (side, seed): {"kid": JudgedMetric(value=1.0 + (side == "winner"), n=64, floor=0.5)}
        for seed in (0, 1)
        for side in confirmation.SIDES
    }
    assert compared(judged)["winner"] == [2.0, 2.0]
    found = compared(judged | {("winner", 1): "loss is nan"})
    assert found["seeds"] == [0] and found["says"] == "the winner failed on 1 of 2 seeds"
    assert found["failed"] == [{"side": "winner", "seed": 1, "reason": "loss is nan"}]
    with pytest.raises(RunError, match="trained to the end together on no seed: loss is nan"):
        compared(judged | {("winner", 1): "loss is nan", ("default", 0): "loss is nan"})


def test_a_schedule_is_stretched_to_the_full_budget() -> None:
    block = {"lr": 1.0, "train": {"steps": 1000, "milestones": []}}
    schedule = [{"step": 0, "values": {"lr": 2.0}}, {"step": 50, "values": {"lr": 3.0}, "from": 2}]
    whole = full_schedule(block, {"schedule": schedule, "values": {"lr": 3.0}}, 200)
    assert whole["lr"] == 2.0 and whole["train"]["milestones"] == [{"step": 250, "change": {"lr": 3.0}}]
    assert full_schedule(block, {"schedule": None, "values": {"lr": 4.0}}, 200)["lr"] == 4.0


def test_changed_data_is_told() -> None:
    refuse_changed("a" * 32, "a" * 32, "mnist5k", "x")
    with pytest.raises(
        InputError, match="searched on version aaaaaaaaaa of mnist5k, and bbbbbbbbbb is prepared"
    ):
        refuse_changed("a" * 32, "b" * 32, "mnist5k", "x")


# The story


def said(judged: int, value: float, **more: Any) -> dict[str, Any]:
    about = {"judged": judged, "step": judged * 10, "value": value, "score": value, "diversity": 0.9}
    return (
        about
        | {"seconds": judged * 1.0, "cost": judged * 1.0, "uri": "store/trial/k/attempts/1", "schedule": [{}]}
        | more
    )


def told(judgements: int = 4) -> Story:
    story = Story(lambda told: None, judgements)
    for number in (1, 2):
        story.add(f"t{number}", {"lr": number})
        story.start(f"t{number}")
    return story


def test_a_story_knows_every_trial_and_its_value() -> None:
    story = told()
    for judged, value in enumerate((3.0, 1.0, 2.0), 1):
        story.say("t1", said(judged, value))
    story.end("t1")
    best, last = story.settled(best=True)["trials"][0], story.settled(best=False)["trials"][0]
    assert (best["value"], last["value"], best["state"], best["key"]) == (1.0, 2.0, "done", "k")
    assert story.counts() == {"done": 1, "running": 1}


def test_what_a_stopped_trial_says_later_does_not_count() -> None:
    story = told()
    for judged in (1, 2, 3):
        story.say("t1", said(judged, 4.0 - judged))
    story.decide(1, 2, "stopped", "2 is not among the best")
    story.say("t1", said(4, 0.0))
    found = story.settled(best=True)["trials"][0]
    assert found["state"] == "stopped" and found["value"] == 2.0 and len(found["curve"]) == 2


def test_a_collapsed_trial_is_told_apart() -> None:
    story = told()
    story.say("t1", said(1, 0.1, score=0.1 + 1e6, diversity=0.1))
    story.end("t1")
    assert story.settled(best=True)["trials"][0]["state"] == "collapsed"


def test_a_failed_trial_has_its_reason() -> None:
    story = told()
    story.say("t1", {"failed": "it became nan", "score": 1e9, "judged": 0, "schedule": [{}]})
    story.end("t1")
    story.end("t2", "its process ended")
    reasons = [trial["reason"] for trial in story.settled(best=True)["trials"]]
    assert reasons == ["it became nan", "its process ended"] and story.counts() == {"failed": 2}


def test_an_interrupted_story_suggests_what_it_suggested() -> None:
    story = told()
    assert Story(lambda told: None, 4, story.told).suggested == [{"lr": 1}, {"lr": 2}]


def test_what_was_suggested_survives_two_interruptions() -> None:
    again = Story(lambda told: None, 4, told().told)
    again.add("new", {"lr": 1})
    assert Story(lambda told: None, 4, again.told).suggested == [{"lr": 1}, {"lr": 2}]


def test_what_a_trial_came_to_before_it_went_on_from_another_is_compared() -> None:
    """Else the worst of a population would be missing where hyperparameters are weighed."""
    story = told()
    for judged in (1, 2):
        story.say("t1", said(judged, 3.0))
        story.say("t2", said(judged, 5.0))
    story.exploit(2, 1, 2, {"lr": 1.2}, "changed")
    story.say("t2", said(3, 2.0))
    story.exploit(2, 1, 3, {"lr": 0.8}, "changed")
    found = story.told["trials"]
    assert found[1]["values"] == {"lr": 0.8} and [s["value"] for s in found[1]["curve"]] == [3.0, 3.0]
    assert comparable_scores(found, [2]) == [({"lr": 1}, 3.0), ({"lr": 2}, 5.0)]


def test_a_trial_that_had_collapsed_when_it_went_on_from_another_counts_as_the_worst() -> None:
    story = told()
    story.say("t1", said(1, 3.0))
    story.say("t2", said(1, 0.1, score=0.1 + 1e6))
    story.exploit(2, 1, 1, {"lr": 1.2}, "changed")
    assert comparable_scores(story.told["trials"], [1]) == [({"lr": 1}, 3.0), ({"lr": 2}, 3.0)]


def test_the_time_left_is_of_trials_and_finalists() -> None:
    story = told(judgements=2)
    story.planned, story.finals, story.side_by_side = 6, (0, 3), 2
    assert story.left() is None
    for judged in (1, 2):
        story.say("t1", said(judged, 1.0, seconds=50.0 * judged))
        story.say("t2", said(judged, 1.0, seconds=30.0 * judged))
    # Four more of 80 s, two at a time, and three finalists of at most 100 s, in two rounds.
    assert story.left() == pytest.approx(160 + 200)
    story.planned, story.finals = 2, (3, 3)
    assert story.left() == 0.0
