"""The Vendi score, a measure of how diverse images are."""

from __future__ import annotations

import numpy as np

# Bandwidth of the kernel over the median distance of images. A smaller one does not separate classes in 64
# dimensions, in which all distances are similar; a larger one does not separate modes in two dimensions. One
# class of ten digits has a score of 0.3, three have 0.5.
BANDWIDTH = 0.4


def pairwise(x: np.ndarray) -> np.ndarray:
    """Return the Euclidean distances between the rows of x, (N, N)."""
    squares = (x * x).sum(1)
    return np.sqrt(np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0))


def vendi_score(distances: np.ndarray, bandwidth: float) -> float:
    """Return the effective number of distinct items: exp of the entropy of the eigenvalues of K / N.

    Friedman & Dieng 2023, Def. 3.1, https://arxiv.org/abs/2210.02410, with the kernel exp(-d^2 / 2 h^2).
    """
    kernel = np.exp(-0.5 * (distances / bandwidth) ** 2)
    values = np.linalg.eigvalsh(kernel / len(kernel))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


class RelativeDiversity:
    """The diversity of features relative to that of real images: 1 is as diverse, near 0 all are alike.

    Diversity depends on the number of images, so compare features of as many as there are real ones.

    Args:
        real: features (N, D) of real images.
    """

    def __init__(self, real: np.ndarray):
        distances = pairwise(real)  # (N, N)
        between = distances[np.triu_indices(len(distances), 1)]
        self.mean_distance = float(between.mean())
        self.bandwidth = BANDWIDTH * float(np.median(between))
        self.baseline = vendi_score(distances, self.bandwidth)

    def __call__(self, features: np.ndarray) -> float:
        """The Vendi score of finite features (N, D) over that of the real images."""
        return vendi_score(pairwise(features), self.bandwidth) / self.baseline
