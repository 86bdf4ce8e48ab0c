"""How much of its best quality a training kept."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from components.evaluation.metric import TINY
from components.records.evaluation import Stability
from components.records.training import Point


def stability(points: Sequence[Point], key: str = "frechet_distance") -> Stability:
    """Return how steadily a training improved: the MEASURED stability of the comparison table.

    On the logarithm of the curve, so that a relative loss late in training counts as much as one at its
    start, where distances are a hundred times larger.

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
        gained = values[0] - min(values)
        kept = (values[0] - values[-1]) / gained if gained > 0 else 0.0
        result.regression_ratio, result.kept = regression_ratio(values), float(np.clip(kept, 0, 1))
    return result


def regression_ratio(values: Sequence[float]) -> float:
    """Sum of rises / sum of falls of a lower-is-better curve, clamped to [0, 1].

    0: every snapshot is at least as good as the last one. 1: whatever was gained was lost again, or
    nothing ever improved while something got worse. A flat curve has neither, and gives 0.
    """
    steps = np.diff(np.asarray(values, dtype=np.float64))
    rises, falls = steps[steps > 0].sum(), -steps[steps < 0].sum()
    return float(min(rises / falls, 1.0)) if falls > 0 else float(rises > 0)
