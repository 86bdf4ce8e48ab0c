"""Intervals of means and proportions."""

from __future__ import annotations

import numpy as np
import scipy

from components.metrics.distances import Estimate

Z_QUANTILE = 1.96  # 97.5 % of the normal distribution


def mean_estimate(values: np.ndarray, resamples: int = 1000) -> Estimate:
    """Return the mean of independent values with its bootstrap percentile interval."""
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return Estimate(float(values.mean()))
    random = np.random.RandomState(0)
    means = [values[random.randint(len(values), size=len(values))].mean() for _ in range(resamples)]
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(values.mean()), float(low), float(high))


def share(successes: int, n: int) -> Estimate:
    """Return a proportion with Wilson's score interval, which is valid near 0 and 1 too."""
    confidence = 1 - 2 * float(scipy.stats.norm.sf(Z_QUANTILE))  # 95 %, to the precision of that quantile
    interval = scipy.stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Estimate(successes / n, float(interval.low), float(interval.high))
