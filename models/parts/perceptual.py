"""The perceptual loss: the distance of two images in the features of a frozen network.

Johnson et al. 2016, https://arxiv.org/abs/1603.08155. Wang et al. 2018, Sec. 3.3, take features before their
activation, which are denser and keep the brightness.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from models.parts.losses import l1

Layer = Literal[1, 2, 3, 4, 5, "all"]
"""Which of five layers, from shallow to deep, or the weighted sum over all of them."""

WEIGHTS = (0.1, 0.1, 1.0, 1.0, 1.0)  # of all layers: Wang et al. 2021, Sec. 4.1, arXiv 2107.10833

Features = Callable[[Tensor, int], list[Tensor]]
"""From images (N, C, H, W) in [-1, 1] and a number of layers to the features (N, C', H', W') of each."""


def perceptual_distance(features: Features, y: Tensor, fake: Tensor, layer: Layer) -> Tensor:
    """Sum over layers of w |phi(y) - phi(G(x))|, means over the features of each image, (N,).

    Wang et al. 2018, Eq. 3, with the absolute differences of the authors' code.
    """
    weights = list(WEIGHTS) if layer == "all" else [0.0] * (layer - 1) + [1.0]
    real = features(y, len(weights))
    distances = zip(weights, real, features(fake, len(weights)), strict=True)
    return sum((w * l1(a.detach(), b) for w, a, b in distances if w), start=fake.new_zeros(len(fake)))
