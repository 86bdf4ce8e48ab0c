"""The moving average of weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from components.training.ema import EMA, decay


def test_the_half_life_halves() -> None:
    weight = 1.0
    for _ in range(100):
        weight *= decay(10, 10**9, 1000, 1.0)
    assert weight == pytest.approx(0.5)
    assert decay(10, 100, 1000, 0.05) == pytest.approx(0.5**2)  # ramp-up: 5 images so far are the half-life
    assert decay(10, 100, 0, 0.05) == 0


def test_the_average_averages_parameters_and_copies_buffers() -> None:
    network = nn.BatchNorm1d(2)
    average: Any = EMA(network, half_life_images=10, ramp_up=1.0)
    with torch.no_grad():
        network.weight.fill_(3)
        network.running_mean.fill_(7)
    average.update(batch=10, images=1000)
    assert torch.allclose(average.generator.weight, torch.tensor([2.0, 2.0]))
    assert torch.equal(average.generator.running_mean, network.running_mean)
