"""Features and images -> numbers. Pure functions in float64: no files, no networks, no seeds but fixed ones.

Shapes: N, M images, D features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SUBSETS = 10  # disjoint parts behind the interval of a kernel distance
T_QUANTILE = 2.262  # 97.5 % of Student's t with SUBSETS - 1 degrees of freedom
Z_QUANTILE = 1.96  # 97.5 % of the normal distribution
BLOCK = 1024  # rows of a kernel matrix held at once
PERFECT = 1e-10  # mean square error below which PSNR stops growing: 100 dB


@dataclass(frozen=True)
class Statistics:
    """The Gaussian that a set of features is summarised by."""

    mean: np.ndarray  # (D,)
    cov: np.ndarray  # (D, D), unbiased: divided by n - 1
    n: int


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval, where there is one."""

    value: float
    low: float | None = None
    high: float | None = None


def statistics(features: np.ndarray) -> Statistics:
    """Mean and covariance of features (N, D), N >= 2."""
    x = np.asarray(features, dtype=np.float64)
    assert x.ndim == 2 and len(x) >= 2, f"need at least two rows of features, got shape {x.shape}"
    mean = x.mean(0)
    return Statistics(mean, (x - mean).T @ (x - mean) / (len(x) - 1), len(x))


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^1/2), Dowson and Landau 1982; on Inception, FID.

    The last trace is the sum of the square roots of the eigenvalues of C_a^1/2 C_b C_a^1/2, which is
    symmetric, so no matrix square root of a non-symmetric, possibly singular product is taken.
    """
    root = _symmetric_root(a.cov)
    eigenvalues = np.linalg.eigvalsh(_symmetric(root @ b.cov @ root))
    cross = np.sqrt(np.clip(eigenvalues, 0, None)).sum()  # rounding leaves tiny negatives instead of zeros
    distance = np.square(a.mean - b.mean).sum() + np.trace(a.cov) + np.trace(b.cov) - 2 * cross
    return float(max(distance, 0.0))


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    return (matrix + matrix.T) / 2


def _symmetric_root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(_symmetric(matrix))
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T


def kid(x: np.ndarray, y: np.ndarray, *, paired: bool = False) -> float:
    """Unbiased squared MMD with the kernel (x.y / D + 1)^3, Binkowski et al. 2018, Eq. 4, over the full sets.

    Args:
        x: Features (N, D).
        y: Features (M, D).
        paired: Row i of y was made from row i of x (a reconstruction). The terms k(x_i, y_i) are then left
            out, as in Gretton et al. 2012, Sec. 2.2: their dependence would bias the distance below zero. A
            perfect reconstruction gives 0.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    n, m = len(x), len(y)
    assert n >= 2 and m >= 2 and (n == m or not paired)
    within_x = _kernel_sum(x, x, diagonal=False) / (n * (n - 1))
    within_y = _kernel_sum(y, y, diagonal=False) / (m * (m - 1))
    between = _kernel_sum(x, y, diagonal=not paired) / (n * (m - 1 if paired else m))
    return within_x + within_y - 2 * between


def _kernel_sum(x: np.ndarray, y: np.ndarray, *, diagonal: bool) -> float:
    """Sum of the kernel matrix, with or without its diagonal, a block of rows at a time."""
    d = x.shape[1]
    total = sum(float(((x[i : i + BLOCK] @ y.T / d + 1) ** 3).sum()) for i in range(0, len(x), BLOCK))
    return total if diagonal else total - float(((np.einsum("nd,nd->n", x, y) / d + 1) ** 3).sum())


def kid_estimate(x: np.ndarray, y: np.ndarray, *, paired: bool = False) -> Estimate:
    """KID with an interval from its spread over ten disjoint subsets of both sides; none below 20 rows each.

    Not a bootstrap: repeated rows are zero distances that real samples do not have. Too wide where the sets
    agree, since the spread of a distance near zero falls faster than one over the root of n.
    """
    value, size = kid(x, y, paired=paired), min(len(x), len(y)) // SUBSETS
    if size < 20:
        return Estimate(value)
    parts = [slice(k * size, (k + 1) * size) for k in range(SUBSETS)]
    error = np.std([kid(x[p], y[p], paired=paired) for p in parts], ddof=1) / math.sqrt(SUBSETS)
    return Estimate(value, float(value - T_QUANTILE * error), float(value + T_QUANTILE * error))


def squared_errors(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean square error of each image, (N,), on the scale [0, 1], of uint8 images (N, C, H, W)."""
    difference = (a.astype(np.float32) - b.astype(np.float32)).reshape(len(a), -1)
    return np.square(difference, dtype=np.float64).mean(1) / 255**2


def mse(a: np.ndarray, b: np.ndarray) -> Estimate:
    """Mean square error on the scale [0, 1]; the interval is over images."""
    return mean_estimate(squared_errors(a, b))


def psnr(a: np.ndarray, b: np.ndarray) -> Estimate:
    """Peak signal to noise ratio in dB: mean over images of -10 log10(mse), at most 100 (equal images)."""
    return mean_estimate(-10 * np.log10(np.maximum(squared_errors(a, b), PERFECT)))


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


def backslide(values: Sequence[float]) -> float:
    """Sum of rises / sum of falls of a lower-is-better curve, clamped to [0, 1].

    0: every snapshot is at least as good as the last one. 1: whatever was gained was lost again, or
    nothing ever improved while something got worse. A flat curve has neither, and gives 0.
    """
    steps = np.diff(np.asarray(values, dtype=np.float64))
    rises, falls = steps[steps > 0].sum(), -steps[steps < 0].sum()
    return float(min(rises / falls, 1.0)) if falls > 0 else float(rises > 0)


def rank_by(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """The judged metric that ranks: the Frechet distance where there are images enough for it, else KID."""
    for name in ("fid", "frechet_distance", "rfid", "r_frechet_distance"):
        if name in metrics and "note" not in metrics[name]:
            return name
    return next(name for name in ("kid", "r_kid", "mse") if name in metrics)
