"""Intervals of means and shares."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components.metrics.intervals import mean_estimate, share


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Wilson 1927 in its closed form, with 1.96 for the quantile."""
    p, z2 = successes / n, 1.96**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = 1.96 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


@pytest.mark.parametrize("n", [1, 2, 7, 100, 999, 10_000])
def test_a_share_is_within_wilson_s_interval_to_rounding(n: int) -> None:
    for successes in {0, 1, n // 3, n - 1, n}:
        estimate = share(successes, n)
        assert (estimate.low, estimate.high) == pytest.approx(wilson(successes, n), rel=0, abs=1e-15)
        assert estimate.value == successes / n


def test_a_mean_s_interval_repeats_and_holds_it() -> None:
    values = np.random.RandomState(1).normal(size=50)
    estimate = mean_estimate(values)
    assert estimate == mean_estimate(values)
    assert estimate.low is not None and estimate.high is not None
    assert estimate.low < estimate.value < estimate.high
    assert mean_estimate(values[:1]).low is None
