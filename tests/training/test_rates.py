"""What a step and a sample cost, by a clock that the test turns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from components.config.train import Train
from components.training import rates
from components.training.trainer import Trainer
from tests import tiny
from tests.small_data import *  # noqa: F403  (fixtures)


class Clock:
    """Advances by a second with each step, and by eight with each drawing."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_rates_are_means_over_whole_intervals(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, step, draw, steps = (
        Clock(),
        Trainer.step,
        rates.sample_for_evaluation.__globals__["generate"].draw,
        [],
    )

    def stepped(self: Trainer, data: object) -> None:
        steps.append(self.control.step)
        step(self, data)
        clock.seconds += 1

    def drawn(*arguments: object, **settings: object) -> object:
        clock.seconds += 8
        return draw(*arguments, **settings)

    monkeypatch.setattr(Trainer, "step", stepped)
    monkeypatch.setattr(rates.sample_for_evaluation.__globals__["generate"], "draw", drawn)
    settings = Train(batch=8, precision="float32")
    measured = rates.measure("dcgan", tiny.CONFIGS["dcgan"], settings, digits, clock=clock)
    assert measured == rates.Rates(step=1.0, sample=8 / rates.SAMPLES)
    assert len(steps) == rates.WARM_UP + rates.SECONDS
    lazy = {**tiny.CONFIGS["stylegan2"], "r1_every": 16}
    steps.clear()
    assert rates.measure("stylegan2", lazy, settings, digits, clock=clock).step == 1.0
    assert len(steps) == rates.WARM_UP + 16, "whole intervals of the rarest phase"


@pytest.mark.parametrize("labelled", [True, False])
def test_a_step_of_the_classifier_is_a_mean_after_a_warm_up(
    labelled: bool, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, trained, train = Clock(), [], rates.train_classifier

    def counted(images: object, labels: object, classes: int, *, steps: int, seed: int) -> object:
        trained.append(steps)
        clock.seconds += 3 * steps
        return train(images, labels, classes, steps=1, seed=seed)

    monkeypatch.setattr(rates, "train_classifier", counted)
    if not labelled:
        opened = rates.open_split
        monkeypatch.setattr(rates, "open_split", lambda *inputs: replace(opened(*inputs), labels=None))
    assert rates.measure_classifier(digits, clock) == 3.0
    assert trained == [rates.WARM_UP, rates.CLASSIFIER_STEPS]
