"""How much of its best quality a training kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from components.evaluation.metric import TINY


def stability(points: Sequence[dict[str, float]], key: str = "frechet_distance") -> dict[str, Any]:
    """How steadily a training improved: the MEASURED stability of the comparison table.

    On the logarithm of the curve, so that a relative loss late in training counts as much as one at its
    start, where distances are a hundred times larger.

    Args:
        points: A curve, in the order of training.
        key: The positive, lower-is-better column that is judged: frechet_distance, or mse for
        reconstructions.

    Returns:
        backslide: Sum of the rises / sum of the falls of the curve, in [0, 1]. 0: no snapshot was worse than
            the one before; near 1: what was gained was lost again (oscillation). Snapshots of few images are
            noisy, which adds small rises and falls to every family alike.
        kept: (first - last) / (first - best), in [0, 1]: the share of the best improvement that was still
            there at the end. 1: the last snapshot is the best; 0: it is no better than the first.
        best_step: Where the curve is lowest.
        snapshots: How many there were; with fewer than three, backslide and kept are None.
    """
    values = [math.log(max(float(point[key]), TINY)) for point in points]
    result: dict[str, Any] = {
        "backslide": None,
        "kept": None,
        "best_step": None,
        "snapshots": len(values),
        "of": key,
    }
    if values:
        result["best_step"] = points[int(np.argmin(values))]["step"]
    if len(values) >= 3:
        gained = values[0] - min(values)
        kept = (values[0] - values[-1]) / gained if gained > 0 else 0.0
        result |= {"backslide": backslide(values), "kept": float(np.clip(kept, 0, 1))}
    return result


def backslide(values: Sequence[float]) -> float:
    """Sum of rises / sum of falls of a lower-is-better curve, clamped to [0, 1].

    0: every snapshot is at least as good as the last one. 1: whatever was gained was lost again, or
    nothing ever improved while something got worse. A flat curve has neither, and gives 0.
    """
    steps = np.diff(np.asarray(values, dtype=np.float64))
    rises, falls = steps[steps > 0].sum(), -steps[steps < 0].sum()
    return float(min(rises / falls, 1.0)) if falls > 0 else float(rises > 0)
