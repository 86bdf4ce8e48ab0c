"""Settings of a sweep."""

from __future__ import annotations

from components.config.sweep import Sweep


def test_rungs_grow_by_the_factor() -> None:
    assert Sweep(search={"lr": None}, judgements=8, grace=2, factor=2).rungs == [2, 4]
    assert Sweep(search={"lr": None}, judgements=9, grace=1, factor=3).rungs == [1, 3]
    assert Sweep(search={"lr": None}, judgements=10, grace=1, factor=3).rungs == [1, 3, 9]
    populations = Sweep(search={"lr": None}, judgements=8, grace=2, scheduler="pbt")
    assert populations.rungs == [2, 4, 6] and Sweep(search={"lr": None}, scheduler="none").rungs == []
