"""Images that a task's baselines, which learn nothing, make of the sources of samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.data.dataset import Pixels
from components.evaluation.samples import EvaluationInputs
from components.sampling.sources import source_images
from models.family import Generator

BLOCK_BYTES = 2**26  # of sources in float64 that are compared at once, on each side


def baseline_images(
    generator: Generator, inputs: EvaluationInputs, n: int, seed: int, *, start: int = 0, device: str = "cpu"
) -> dict[str, np.ndarray]:
    """Return the images of each baseline of the task for the conditions of samples, uint8 (n, C, H, W).

    identity and bicubic are the source in the images' shape: enlarged if it is smaller, grey repeated, colour
    by luminance. nearest_pair, which needs pairs to train on, is the image of the training pair whose source
    is nearest.
    """
    fixed: dict[str, Any] = {"n": n, "seed": seed, "start": start, "device": device}
    by_name = dict[str, np.ndarray]()
    for name in inputs.task.baselines:
        if name != "nearest_pair":
            images = source_images(generator, inputs.card, **fixed, **inputs.conditions)
            by_name |= {} if images is None else {name: images}
        elif (
            inputs.train is not None and inputs.train.sources is not None and inputs.split.sources is not None
        ):
            sources = np.asarray(inputs.split.sources[np.arange(start, start + n)])
            by_name[name] = inputs.train.images[nearest_sources(sources, inputs.train.sources)]
    return by_name


def nearest_sources(sources: np.ndarray, train: Pixels) -> np.ndarray:
    """Return the row in `train` of the image nearest to each source in L2, (N,); the first of equal ones.

    Both are uint8 (., C, H, W). Pixels are integers, which float64 adds without rounding, so the result
    depends neither on the blocks nor on the machine.
    """
    size = max(1, BLOCK_BYTES // (8 * sources[0].size))
    rows = np.zeros(len(sources), np.int64)
    for start in range(0, len(sources), size):
        x = sources[start : start + size].reshape(-1, sources[0].size).astype(np.float64)
        least = np.full(len(x), np.inf)
        for first in range(0, len(train), size):
            last = min(first + size, len(train))
            y = np.asarray(train[np.arange(first, last)]).reshape(last - first, -1).astype(np.float64)
            distances = np.square(y).sum(1) - 2 * (x @ y.T)  # without |x|^2, which all have in common
            nearest = distances.argmin(1)
            values = distances[np.arange(len(x)), nearest]
            nearer = values < least
            least[nearer] = values[nearer]
            rows[start : start + size][nearer] = first + nearest[nearer]
    return rows
