"""Perceptual path length: how fast images change along a path between two latent points.

Karras, Laine & Aila 2019, A Style-Based Generator Architecture for Generative Adversarial Networks, Sec. 4.1,
https://arxiv.org/abs/1812.04948. A smaller value means a smoother space.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

EPSILON = 1e-4  # the step along a path whose length is 1
TRIM = 1  # per cent of the values that are left out at either end, as in the authors' code


def path_lengths(
    images: Callable[[Tensor], Tensor],
    path: Callable[[Tensor], Tensor],
    distance: Callable[[Tensor, Tensor], Tensor],
    t: Tensor,
    epsilon: float = EPSILON,
) -> Tensor:
    """Return d(G(p(t)), G(p(t + epsilon))) / epsilon^2, (N,).

    Args:
        images: G, from points (2 N, W) to images (2 N, C, H, W), those of both ends in one call.
        path: p, from positions (N,) to points (N, W), path i being that of row i.
        distance: d, a squared distance of images (N, C, H, W), (N,).
        t: where steps begin, (N,) in [0, 1].
        epsilon: the length of a step.
    """
    start, end = images(torch.cat([path(t), path(t + epsilon)])).chunk(2)
    return distance(start, end) / epsilon**2


def trimmed(values: np.ndarray, percent: float = TRIM) -> np.ndarray:
    """Return the values from one percentile to the other, which are included."""
    low = np.percentile(values, percent, method="lower")
    high = np.percentile(values, 100 - percent, method="higher")
    return values[(low <= values) & (values <= high)]
