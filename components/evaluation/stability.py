"""Measure how steadily a training improves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from components.evaluation.metric import TINY
from components.records.evaluation import Stability
from components.records.training import Point


def stability(points: Sequence[Point], key: str = "frechet_distance") -> Stability:
    """Return how steadily a training improved, for the stability column of the comparison table.

    Computed on the logarithm of the curve, so that a relative loss late in training counts as much as one at
    its start, where distances are a hundred times larger.

    Args:
        points: a curve, in the order of training.
        key: the positive, lower-is-better column that is measured: frechet_distance, or mse for
            reconstructions.
    """
    values = [math.log(max(float(point[key] or 0.0), TINY)) for point in points]
    result = Stability(snapshots=len(values), of=key)
    if values:
        step = points[int(np.argmin(values))]["step"]
        result.best_step = None if step is None else int(step)
    if len(values) >= 3:
        best_gain = values[0] - min(values)
        retained = (values[0] - values[-1]) / best_gain if best_gain > 0 else 0.0
        result.regression_ratio, result.kept = regression_ratio(values), float(np.clip(retained, 0, 1))
    return result


def regression_ratio(values: Sequence[float]) -> float:
    """Return sum of rises / sum of falls of a lower-is-better curve, clamped to [0, 1].

    0: no snapshot is worse than the one before. 1: all gains were lost again, or values only rose. A flat
    curve has 0.
    """
    steps = np.diff(np.asarray(values, dtype=np.float64))
    rises, falls = steps[steps > 0].sum(), -steps[steps < 0].sum()
    return float(min(rises / falls, 1.0)) if falls > 0 else float(rises > 0)
