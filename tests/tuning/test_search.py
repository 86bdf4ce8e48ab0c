"""Which values are tried and which trials go on: functions of the seed and of the order of trials alone."""

from __future__ import annotations

import itertools
import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from components.config.sweep import Sweep
from components.records.trial import ScheduleEntry, TrialPointer, TrialReport
from components.tuning import pbt, space, suggest
from components.tuning.asha import DeterministicASHA
from components.tuning.pbt import DeterministicPBT
from components.tuning.search import continued
from components.tuning.suggest import suggestions
from components.tuning.trial_log import TrialLog


def searched(search: dict[str, Any]) -> list[space.Hyperparameter]:
    return list(space.resolve("dcgan", search).values())


def sweep(**settings: Any) -> Sweep:
    return Sweep(search={"lr": None}, **settings)


# Values


def test_the_same_seed_suggests_the_same_values_and_its_own_first() -> None:
    what = searched({"lr": None, "n_critic": None, "beta1": [0.0, 0.5]})
    result = suggestions(what, sweep(trials=12))
    assert result == suggestions(what, sweep(trials=12)) != suggestions(what, sweep(trials=12, seed=1))
    assert result[0] == {"lr": 2e-4, "n_critic": 1, "beta1": 0.5} and len(result) == 12
    assert all(1e-4 <= one["lr"] <= 4e-4 and one["n_critic"] in range(1, 6) for one in result[1:])
    assert result[:5] == suggestions(what, sweep(trials=5))  # more trials are the same ones and others
    assert {type(one["n_critic"]) for one in result} == {int}


def test_a_choice_is_never_tried_twice() -> None:
    assert len(suggestions(searched({"beta1": [0.0, 0.5, 0.9]}), sweep(trials=50))) == 3


def test_a_grid_has_every_combination() -> None:
    what = searched({"lr": {"low": 1e-4, "high": 4e-4, "scale": "log"}, "beta1": [0.0, 0.5]})
    result = suggestions(what, sweep(searcher="grid", grid_points=3, trials=100))
    lrs = sorted({one["lr"] for one in result})
    assert len(result) == 6 and lrs == pytest.approx([1e-4, 2e-4, 4e-4])
    assert len(suggestions(what, sweep(searcher="grid", grid_points=3, trials=4))) == 4


def test_values_that_are_lists_have_names() -> None:
    (what,) = space.resolve("autoencoder", {"widths": [[64, 32], [32, 16]]}).values()
    named = suggest.labels([what])["widths"]
    assert set(named) == {"[64, 32]", "[32, 16]", "[256, 128]"} and tuple(named["[64, 32]"]) == (64, 32)
    assert suggest.domain(what).categories == ["[64, 32]", "[32, 16]"]
    (first, *_) = suggest.suggestions([what], sweep(searcher="random", trials=3))
    assert named[first["widths"]] == what.default  # the first trial, though it is not searched


def test_a_grid_loses_no_point_to_a_default_that_is_none() -> None:
    for values in ([0.1, 0.5, 0.9], [0.1, 0.2, 0.9]):  # the default is 0.5
        result = suggestions(searched({"beta1": values}), sweep(searcher="grid", trials=3))
        assert sorted(point["beta1"] for point in result) == values
        assert (result[0]["beta1"] == 0.5) == (0.5 in values)


# Successive halving


class Fake:
    """A trial as Tune has it."""

    def __init__(self, number: int):
        self.trial_id, self.config, self.status = f"t{number}", {"lr": number}, "RUNNING"


VALUES = {  # number -> scores at the judgements
    1: [9, 5, 4, 3, 3, 3, 3, 3],
    2: [9, 6, 5, 5, 5, 5, 5, 5],
    3: [9, 4, 4, 4, 4, 4, 4, 4],
    4: [9, 9, 9, 1, 1, 1, 1, 1],
    5: [9, 3, 3, 2, 2, 2, 2, 2],
    6: [9, 2, 2, 2.5, 2, 2, 2, 2],
}


def reported(judged: int, score: float) -> dict[str, Any]:
    """A trial's report, as Tune hands it on."""
    about: dict[str, Any] = {"step": judged, "value": score, "diversity": 1.0, "seconds": 1.0, "cost": 1.0}
    return TrialReport(judged=judged, score=score, uri="a/b/c", **about).to_json()


def played(
    order: random.Random, together: int, failed: int | None = None, lost: int | None = None
) -> tuple[dict[int, int], list[Any]]:
    """Halving with trials of any speed, so many side by side; who was stopped at which rung, and why.

    Args:
        order: who is when at work.
        together: trials side by side.
        failed: the number of a trial that fails at its first judgement.
        lost: of one that loses its process after three judgements, and begins again.
    """
    settings = sweep(evaluations=8, grace_period=2, reduction_factor=2)
    log = TrialLog(lambda log: None, settings.evaluations)
    asha = DeterministicASHA(settings, log)
    asha.set_search_properties("score", "min")
    fakes = [Fake(number) for number in VALUES]
    for fake in fakes:
        asha.on_trial_add(SimpleNamespace(), fake)
    waiting, running, at = list(fakes), [], dict.fromkeys(VALUES, 0)
    while waiting or running:
        while waiting and len(running) < together:
            running.append(waiting.pop(0))
        fake = order.choice(running)
        number = int(fake.trial_id[1:])
        at[number] += 1
        result = reported(at[number], VALUES[number][at[number] - 1])
        if number == failed and at[number] == 1:
            asha.on_trial_error(SimpleNamespace(), fake)
            running.remove(fake)
        elif number == lost and at[number] == 4:
            at[number], lost, fake.status = 0, None, "ERROR"
            asha.on_trial_error(SimpleNamespace(), fake)
            fake.status = "RUNNING"
            asha.on_trial_add(SimpleNamespace(), fake)
        elif asha.on_trial_result(SimpleNamespace(), fake, result) == "STOP" or at[number] == 8:
            asha.on_trial_complete(SimpleNamespace(), fake, result)
            running.remove(fake)
    whys = sorted((d.trial, d.judged, d.did, d.why) for d in log.decisions)
    return asha.stopped, whys


def test_who_is_stopped_does_not_depend_on_who_was_faster() -> None:
    alone = played(random.Random(0), together=1)
    assert alone[0] == {2: 2, 4: 2, 3: 4}  # by the rung at which each was not among the best half so far
    for together, seed in itertools.product((2, 3, 6), range(20)):
        assert played(random.Random(seed), together) == alone


def test_nobody_waits_for_a_trial_that_failed() -> None:
    alone = played(random.Random(0), together=1, failed=3)
    assert 3 not in alone[0]
    for seed in range(20):
        assert played(random.Random(seed), 3, failed=3) == alone


def test_a_trial_that_lost_its_process_is_the_same_trial() -> None:
    alone = played(random.Random(0), together=1)
    for seed in range(20):
        assert played(random.Random(seed), 3, lost=1) == alone


def test_every_decision_says_why() -> None:
    _, whys = played(random.Random(0), together=2)
    assert (4, 2, "stopped", "9 is not among the best 1/2 of 4 so far at evaluation 2") in whys
    assert (1, 2, "went on", "5 is among the first at evaluation 2") in whys


# Populations


class Controller:
    """What a scheduler needs of Tune: who is there, and a pause."""

    search_alg = None

    def __init__(self, trials: list[Any]):
        self.trials = trials

    def get_trials(self) -> list[Any]:
        return self.trials

    def get_live_trials(self) -> list[Any]:
        return [trial for trial in self.trials if trial.status != "TERMINATED"]

    def pause_trial(self, trial: Any, should_checkpoint: bool) -> None:
        trial.status = "PAUSED"


class Member(Fake):
    """A trial of a population, as Tune has it."""

    def __init__(self, number: int):
        super().__init__(number)
        self.config, self.experiment_tag, self.evaluated_params = {"lr": 1e-4 * number}, "", {}
        self.checkpoint = f"checkpoint {number}"
        self.temporary_state = SimpleNamespace(saving_to=None)
        manager = SimpleNamespace(checkpoint_config=SimpleNamespace(num_to_keep=None))
        self.run_metadata = SimpleNamespace(checkpoint_manager=manager)

    def is_finished(self) -> bool:
        return self.status in ("TERMINATED", "ERROR")

    def set_experiment_tag(self, tag: str) -> None:
        self.experiment_tag = tag

    def set_config(self, config: dict[str, Any]) -> None:
        self.config = config


@pytest.mark.parametrize("last", ["failed", "dead", "lost", "waits"])
def test_a_population_goes_on_whatever_becomes_of_its_last(last: str) -> None:
    """The trial all others wait for at a rung comes to it, fails, or loses its process and comes later."""
    members: list[Any] = [Member(number) for number in (1, 2, 3, 4)]
    controller, log = Controller(members), TrialLog(lambda log: None, 8)
    settings = sweep(scheduler="pbt", trials=4, evaluations=8, grace_period=2)
    population = DeterministicPBT(searched({"lr": None}), settings, log)
    population.set_search_properties("score", "min")
    for member in members:
        population.on_trial_add(controller, member)

    def says(member: Any, judged: int, score: float) -> str:
        did = population.on_trial_result(controller, member, reported(judged, score))
        if did == "PAUSE":
            member.status = "PAUSED"
        return did

    for member, score in zip(members[:3], (1.0, 2.0, 3.0), strict=True):
        assert says(member, 1, score) == "CONTINUE" and says(member, 2, score) == "PAUSE"
    assert population.choose_trial_to_run(controller) is None  # of those that wait, none
    if last == "failed":
        population.on_trial_complete(controller, members[3], {})
        members[3].status = "TERMINATED"
    elif last == "dead":  # of which Tune goes on to speak as of the living
        population.on_trial_error(controller, members[3])
        members[3].status = "ERROR"
    elif last == "lost":
        members[3].status = "ERROR"
        population.on_trial_error(controller, members[3])
        members[3].status = "PENDING"
        population.on_trial_add(controller, members[3])
        assert log.number("t4") == 4 and not log.decisions
    if last in ("lost", "waits"):
        says(members[3], 2, 4.0)
    (exploit,) = (d for d in log.decisions if d.did == "exploited")
    worst = 3 if last in ("failed", "dead") else 4
    assert exploit.trial == worst and exploit.donor == 1
    assert population.choose_trial_to_run(controller) in members[:3]
    for member in members if last in ("lost", "waits") else members[:3]:
        says(member, 3, 1.0)
        says(member, 4, 1.0)
    assert population.choose_trial_to_run(controller) in members[:3]  # and so on, from rung to rung


def test_a_perturbation_stays_in_its_range_and_whole_numbers_whole() -> None:
    what = searched({"lr": None, "n_critic": None, "beta1": [0.0, 0.5]})
    population = DeterministicPBT(what, sweep(scheduler="pbt"), TrialLog(lambda log: None, 8))
    result = population._within({"lr": np.float64(9e-4), "n_critic": 7, "beta1": 0.5})
    assert result == {"lr": 4e-4, "n_critic": 5, "beta1": 0.5} and type(result["n_critic"]) is int


def test_chance_is_a_function_of_the_seed_and_leaves_no_trace() -> None:
    before = random.getstate()
    with pbt.seeded(7):
        first = (random.random(), np.random.rand())
    with pbt.seeded(7):
        assert (random.random(), np.random.rand()) == first
    assert random.getstate() == before


def test_a_trial_continues_from_its_own_checkpoint_or_from_a_donors() -> None:
    pointer = TrialPointer(schedule=[ScheduleEntry(values={"lr": 1.0})], step=6, uri="a", trial="t1")
    assert continued(pointer, {"lr": 1.0}) == (pointer.schedule, "")
    schedule, donor = continued(pointer, {"lr": 2.0})
    assert donor == "a" and schedule[1:] == [ScheduleEntry(step=6, values={"lr": 2.0}, donor="t1")]
