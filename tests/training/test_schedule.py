"""Learning rates and the steps of sample grids."""

from __future__ import annotations

import pytest

from components.training.schedule import grid_steps, learning_rate
from tests import tiny


def test_schedules_are_pure_functions_that_end_near_zero() -> None:
    for name in ("linear", "cosine", "sqrt"):
        rates = [learning_rate(name, step, 100) for step in range(100)]
        assert rates[0] == 1 and rates == sorted(rates, reverse=True) and 0 < rates[-1] < 0.11
    assert learning_rate("linear", 50, 100) == 0.5
    assert learning_rate("cosine", 50, 100) == pytest.approx(0.5)
    assert learning_rate("sqrt", 75, 100) == 0.5
    assert [learning_rate("constant_linear", s, 100) for s in (0, 50, 75, 95)] == pytest.approx(
        [1, 1, 0.5, 0.1]
    )
    assert [learning_rate("constant", s, 100, 4) for s in range(5)] == [0.25, 0.5, 0.75, 1, 1]


def test_grids_are_evenly_spaced_and_end_with_training() -> None:
    assert grid_steps(tiny.settings(steps=100, num_snapshots=4)) == {25, 50, 75, 100}
    assert max(grid_steps(tiny.settings(steps=7, num_snapshots=20))) == 7
