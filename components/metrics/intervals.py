"""Intervals of a mean and of a share."""

from __future__ import annotations

import math

import numpy as np

from components.metrics.distances import Estimate

Z_QUANTILE = 1.96  # 97.5 % of the normal distribution


def mean_estimate(values: np.ndarray, resamples: int = 1000) -> Estimate:
    """The mean of independent values with its bootstrap percentile interval."""
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return Estimate(float(values.mean()))
    random = np.random.RandomState(0)
    means = [values[random.randint(len(values), size=len(values))].mean() for _ in range(resamples)]
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(values.mean()), float(low), float(high))


def share(successes: int, n: int) -> Estimate:
    """A proportion with Wilson's score interval, which stays inside [0, 1] and is honest near its ends."""
    p, z2 = successes / n, Z_QUANTILE**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_QUANTILE / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return Estimate(p, max(0.0, middle - half), min(1.0, middle + half))
