"""Settings of a sweep."""

from __future__ import annotations

from components.config.sweep import Sweep


def test_rungs_grow_by_the_factor() -> None:
    assert Sweep(search={"lr": None}, evaluations=8, grace_period=2, reduction_factor=2).rungs == [2, 4]
    assert Sweep(search={"lr": None}, evaluations=9, grace_period=1, reduction_factor=3).rungs == [1, 3]
    assert Sweep(search={"lr": None}, evaluations=10, grace_period=1, reduction_factor=3).rungs == [1, 3, 9]
    populations = Sweep(search={"lr": None}, evaluations=8, grace_period=2, scheduler="pbt")
    assert populations.rungs == [2, 4, 6] and Sweep(search={"lr": None}, scheduler="none").rungs == []
