"""Which values are tried and which trials go on: functions of the seed and of the order of trials alone."""

from __future__ import annotations

import itertools
import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from components import spaces, tuning
from components.config import Sweep
from components.story import Story
from components.tuning import InOrder, Population, suggestions


def searched(search: dict[str, Any]) -> list[spaces.Hyperparameter]:
    return list(spaces.resolve("dcgan", search).values())


def sweep(**settings: Any) -> Sweep:
    return Sweep(search={"lr": None}, **settings)


# Values


def test_the_same_seed_suggests_the_same_values_and_its_own_first() -> None:
    what = searched({"lr": None, "n_critic": None, "beta1": [0.0, 0.5]})
    found = suggestions(what, sweep(trials=12))
    assert found == suggestions(what, sweep(trials=12)) != suggestions(what, sweep(trials=12, seed=1))
    assert found[0] == {"lr": 2e-4, "n_critic": 1, "beta1": 0.5} and len(found) == 12
    assert all(1e-4 <= one["lr"] <= 4e-4 and one["n_critic"] in range(1, 6) for one in found[1:])
    assert found[:5] == suggestions(what, sweep(trials=5))  # more trials are the same ones and others
    assert {type(one["n_critic"]) for one in found} == {int}


def test_a_choice_is_never_tried_twice() -> None:
    assert len(suggestions(searched({"beta1": [0.0, 0.5, 0.9]}), sweep(trials=50))) == 3


def test_a_grid_has_every_combination() -> None:
    what = searched({"lr": {"low": 1e-4, "high": 4e-4, "scale": "log"}, "beta1": [0.0, 0.5]})
    found = suggestions(what, sweep(searcher="grid", points=3, trials=100))
    lrs = sorted({one["lr"] for one in found})
    assert len(found) == 6 and lrs == pytest.approx([1e-4, 2e-4, 4e-4])
    assert len(suggestions(what, sweep(searcher="grid", points=3, trials=4))) == 4


def test_values_that_are_lists_have_names() -> None:
    (what,) = spaces.resolve("autoencoder", {"widths": [[64, 32], [32, 16]]}).values()
    named = tuning.labels([what])["widths"]
    assert set(named) == {"[64, 32]", "[32, 16]"} and tuple(named["[64, 32]"]) == (64, 32)
    assert tuning.domain(what).categories == list(named)


# Successive halving


class Fake:
    """A trial as Tune has it."""

    def __init__(self, number: int):
        self.trial_id, self.config = f"t{number}", {"lr": number}


VALUES = {  # number -> scores at the judgements
    1: [9, 5, 4, 3, 3, 3, 3, 3],
    2: [9, 6, 5, 5, 5, 5, 5, 5],
    3: [9, 4, 4, 4, 4, 4, 4, 4],
    4: [9, 9, 9, 1, 1, 1, 1, 1],
    5: [9, 3, 3, 2, 2, 2, 2, 2],
    6: [9, 2, 2, 2.5, 2, 2, 2, 2],
}


def played(
    order: random.Random, together: int, failed: int | None = None
) -> tuple[dict[int, int], list[Any]]:
    """Halving with trials of any speed, so many side by side; who was stopped at which rung, and why."""
    settings = sweep(judgements=8, grace=2, factor=2)
    story = Story(lambda told: None, settings.judgements)
    asha = InOrder(settings, story)
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
        said = {"judged": at[number], "score": VALUES[number][at[number] - 1], "schedule": [{}]}
        said |= {"step": at[number], "value": said["score"], "diversity": 1.0, "seconds": 1.0, "uri": "a/b/c"}
        if number == failed and at[number] == 1:
            asha.on_trial_error(SimpleNamespace(), fake)
            running.remove(fake)
        elif asha.on_trial_result(SimpleNamespace(), fake, said) == "STOP" or at[number] == 8:
            asha.on_trial_complete(SimpleNamespace(), fake, said)
            running.remove(fake)
    whys = sorted((d["trial"], d["judged"], d["did"], d["why"]) for d in story.decisions)
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


def test_every_decision_says_why() -> None:
    _, whys = played(random.Random(0), together=2)
    assert (4, 2, "stopped", "9 is not among the best 1/2 of 4 so far at judgement 2") in whys
    assert (1, 2, "went on", "5 is among the first at judgement 2") in whys


# Populations


def test_a_perturbation_stays_in_its_range_and_whole_numbers_whole() -> None:
    what = searched({"lr": None, "n_critic": None, "beta1": [0.0, 0.5]})
    population = Population(what, sweep(scheduler="pbt"), Story(lambda told: None, 8))
    found = population._within({"lr": np.float64(9e-4), "n_critic": 7, "beta1": 0.5})
    assert found == {"lr": 4e-4, "n_critic": 5, "beta1": 0.5} and type(found["n_critic"]) is int


def test_chance_is_a_function_of_the_seed_and_leaves_no_trace() -> None:
    before = random.getstate()
    with tuning.seeded(7):
        first = (random.random(), np.random.rand())
    with tuning.seeded(7):
        assert (random.random(), np.random.rand()) == first
    assert random.getstate() == before
