"""Measure the perceptual path length of a style-based generator, in W or z."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from components.common.seeds import derive
from components.evaluation import comparability
from components.extractors.feature_distance import FeatureDistance
from components.metrics.intervals import mean_estimate
from components.metrics.path_length import EPSILON, TRIM, path_lengths, trimmed
from components.records.analysis import PathLength
from components.sampling.interpolation import Space
from components.sampling.styles import Progress, Styles, slerp
from models.family import Noise

Along = Literal["ends", "full"]
"""Where steps begin: at the beginning of paths (Karras et al. 2020), or anywhere on them (2019)."""

PAIRS = 1000  # by default
AT_ONCE = 16  # paths


@torch.no_grad()
def path_length(
    styles: Styles,
    distance: FeatureDistance,
    *,
    space: Space = "w",
    along: Along = "ends",
    pairs: int = PAIRS,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> PathLength:
    """Return the mean of d / epsilon^2 over random pairs, without the 1 % at either end, not truncated.

    Both images of a step have the same class, which are in turn, and the same noise inputs.

    Args:
        styles: the generator.
        distance: d; its network is a part of the measure.
        space: w: lines between w of random z; z: arcs between random z.
        along: where steps begin.
        pairs: the number of paths, at least 2.
        seed: path i depends on (seed, i).
        progress: called with the number of paths that are done, and of all.
    """
    values = []
    for start in range(0, pairs, AT_ONCE):
        rows = range(start, min(start + AT_ONCE, pairs))
        values.append(_chunk(styles, distance, space, along, list(rows), seed).double().cpu().numpy())
        progress(rows[-1] + 1, pairs)
    estimate = mean_estimate(trimmed(np.concatenate(values)))
    recipe: dict[str, Any] = {
        "metric": f"ppl_{space}_{along}",
        "network": distance.name,
        "network_hash": distance.hash,
        "epsilon": EPSILON,
        "trimmed": f"{TRIM} % at either end",
        "n": pairs,
        "truncation": "none",
    }
    return PathLength(
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        recipe=recipe,
        comparability=comparability.key(recipe),
    )


def _chunk(
    styles: Styles, distance: FeatureDistance, space: Space, along: Along, rows: list[int], seed: int
) -> Tensor:
    """Return the lengths of some paths, (N,)."""
    generator, classes = styles.generator, styles.classes
    noise = Noise([derive("path length", seed, i) for i in rows], styles.device)
    a, b, t = noise(generator.mapping.latent), noise(generator.mapping.latent), noise.uniform(1)[:, 0]
    sizes = generator.synthesis.noise_sizes
    inputs = [noise(1, size, size).repeat(2, 1, 1, 1) for size in sizes]  # of both images of a step
    labels = torch.tensor(rows, device=styles.device) % classes if classes else None
    mapping = partial(generator.mapping, label=labels)
    first, last = (mapping(a), mapping(b)) if space == "w" else (a, b)

    def path(t: Tensor) -> Tensor:
        if space == "w":
            return torch.lerp(first, last, t[:, None])
        w: Tensor = mapping(slerp(first, last, t))
        return w

    def images(w: Tensor) -> Tensor:
        made: Tensor = generator.synthesis(w[:, None].expand(-1, styles.layers, -1), inputs)
        return made

    return path_lengths(images, path, distance, t if along == "full" else torch.zeros_like(t))
