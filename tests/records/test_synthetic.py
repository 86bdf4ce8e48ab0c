"""Synthetic images help or hurt only if the whole interval of the gain says so."""

import pytest

from components.records.synthetic import Accuracy, SizeResult


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.2, "helps"),
        (-0.2, -0.01, "hurts"),
        (-0.1, 0.1, "no difference shown"),
        (0.0, 0.1, "no difference shown"),
        (None, None, "no difference shown"),
    ],
)
def test_the_verdict_is_that_of_the_interval(low: float | None, high: float | None, verdict: str) -> None:
    some = Accuracy(value=0.5)
    assert (
        SizeResult(size=9, real=some, both=some, gain=Accuracy(value=0.0, low=low, high=high)).verdict
        == verdict
    )
