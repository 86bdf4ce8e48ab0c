"""What a step and a sample cost, by a clock that the test turns."""

from __future__ import annotations

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
