"""Distances between the features of two sets of images, with intervals. Pure functions in float64.

Features may be memory-mapped float32: they are read BLOCK rows at a time, without an N x N matrix in memory.
Shapes: N, M images, D features, G groups of the jackknife.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

GROUPS = 10  # of the jackknife; row i belongs to group i % GROUPS
ROWS = 6  # rows per group, in each set, below which no interval is given; benchmarks/small_intervals.py
BLOCK = 1024  # rows in memory at once in float64
LEVELS = (1, 2, 4)  # the extrapolation uses all rows, halves and quarters
PARTS = 12  # groups of its jackknife: each lies within one half and one quarter
T_QUANTILE = {GROUPS: 2.262157, PARTS: 2.200985}  # 97.5 % of Student's t with one degree of freedom less


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval, if it has one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Statistics:
    """Mean and covariance of a set of features."""

    mean: np.ndarray  # (D,)
    cov: np.ndarray  # (D, D), unbiased: divided by n - 1
    n: int


@dataclass(frozen=True)
class Moments:
    """Sums over rows of features about a pivot near their mean, which avoids cancellation in float64.

    Those of some of the rows, about the same pivot, subtract to those of the others.
    """

    n: int
    total: np.ndarray  # (D,), sum of x - pivot
    outer: np.ndarray  # (D, D), sum of (x - pivot)(x - pivot)^T
    pivot: np.ndarray  # (D,)

    def __sub__(self, other: Moments) -> Moments:
        return Moments(self.n - other.n, self.total - other.total, self.outer - other.outer, self.pivot)

    @property
    def statistics(self) -> Statistics:
        """Mean and unbiased covariance, for n >= 2."""
        assert self.n >= 2, f"need at least two rows of features, got {self.n}"
        shift = self.total / self.n
        cov = (self.outer - np.outer(self.total, shift)) / (self.n - 1)
        return Statistics(self.pivot + shift, cov, self.n)


def blocks(x: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the rows of x (N, D) in float64, BLOCK at a time, each with the index of its first row."""
    for i in range(0, len(x), BLOCK):
        yield i, np.asarray(x[i : i + BLOCK], dtype=np.float64)


def membership(start: int, rows: int) -> np.ndarray:
    """Return a matrix (G, rows) of 0 and 1, the groups of the rows start, start + 1, ..."""
    return np.equal.outer(np.arange(GROUPS), np.arange(start, start + rows) % GROUPS).astype(np.float64)


def enough(*sizes: int, groups: int = GROUPS) -> bool:
    """Whether sets of these sizes have at least ROWS rows per group, as an interval needs."""
    return min(sizes) >= ROWS * groups


def jackknife(value: float, leave_one_out: Sequence[float]) -> Estimate:
    """Return the value with its delete-a-group jackknife interval, value +- t_{.975, g-1} SE.

    SE^2 = (g - 1) / g sum_j (t_j - mean t)^2, Kott 2001, The Delete-a-Group Jackknife; Shao and Tu 1995,
    The Jackknife and Bootstrap. A bootstrap would be biased: its duplicate rows are at distance zero from
    each other, unlike real samples, which affects distances and neighbours.

    The interval covers the random choice of images in both sets, but neither the variation between training
    runs nor the bias of `value`.

    Args:
        value: Value over all rows.
        leave_one_out: Values without the rows of each group in turn, GROUPS or PARTS of them.
    """
    g, t = len(leave_one_out), np.asarray(leave_one_out, dtype=np.float64)
    half = T_QUANTILE[g] * math.sqrt((g - 1) / g * np.square(t - t.mean()).sum())
    return Estimate(float(value), float(value - half), float(value + half))


def moments(x: np.ndarray, pivot: np.ndarray) -> Moments:
    """Return the moments of features x (N, D) about pivot (D,), which must be close to their mean."""
    d = x.shape[1]
    total, outer = np.zeros(d), np.zeros((d, d))
    for _, block in blocks(x):
        block = block - pivot
        total += block.sum(0)
        outer += block.T @ block
    return Moments(len(x), total, outer, pivot)


def _pivot(x: np.ndarray) -> np.ndarray:
    """Return the first row, which is close enough to the mean; sums of constant features are exactly zero."""
    return np.asarray(x[0], dtype=np.float64)


def statistics(features: np.ndarray) -> Statistics:
    """Return mean and covariance of features (N, D), N >= 2."""
    return moments(features, _pivot(features)).statistics


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^1/2), Dowson and Landau 1982; FID with Inception features.

    Finite sets bias it upwards by about a constant over n. Compare it only at the same n, or use
    `frechet_unbiased`.
    """
    cross = _trace_of_root(a.cov, b.cov)
    distance = np.square(a.mean - b.mean).sum() + np.trace(a.cov) + np.trace(b.cov) - 2 * cross
    return float(max(distance, 0.0))


def _trace_of_root(a: np.ndarray, b: np.ndarray) -> float:
    """Return the trace of (A B)^1/2 from the eigenvalues of L^T B L, A = L L^T, which are those of A B.

    L^T B L is symmetric, unlike A B, which may also be singular.
    """
    # Constant features add nothing, and Cholesky would fail with them.
    varying = (np.diag(a) > 0) & (np.diag(b) > 0)
    if not varying.all():
        a, b = a[np.ix_(varying, varying)], b[np.ix_(varying, varying)]
    root, other = _root(a, b)
    product = root.T @ other @ root
    del root, other  # matrices of 33 MB at D = 2048
    eigenvalues = np.linalg.eigvalsh(product)
    return float(np.sqrt(np.clip(eigenvalues, 0, None)).sum())  # rounding may make zeros slightly negative


def _root(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return L with L L^T = A or B, and the other matrix; by Cholesky if one of them has full rank."""
    for matrix, other in ((a, b), (b, a)):
        try:
            return np.linalg.cholesky(matrix), other
        except np.linalg.LinAlgError:
            continue
    values, vectors = np.linalg.eigh(a)
    return vectors * np.sqrt(np.clip(values, 0, None)), b


def _strided(x: np.ndarray, start: int, step: int) -> Moments:
    """Return the moments of rows start, start + step, ... of features (N, D)."""
    return moments(x[start::step], _pivot(x))


def _without(a: Moments, x: np.ndarray, start: int, step: int) -> Statistics:
    """Return the statistics of rows of x with moments `a`, but for rows start, start + step, ... among them.

    The moments of groups are not kept: 24 of them would take 0.8 GB at D = 2048.
    """
    return (a - _strided(x, start, step)).statistics


def frechet_estimate(x: np.ndarray, y: np.ndarray) -> Estimate:
    """Return the Frechet distance between features (N, D) and (M, D), with an interval if rows suffice.

    The interval is that of the biased value at this n, not that of the distance between the distributions.
    """
    a, b = _strided(x, 0, 1), _strided(y, 0, 1)
    value = frechet_distance(a.statistics, b.statistics)
    if not enough(len(x), len(y)):
        return Estimate(value)
    without = ((_without(a, x, g, GROUPS), _without(b, y, g, GROUPS)) for g in range(GROUPS))
    return jackknife(value, [frechet_distance(*sides) for sides in without])


def frechet_unbiased(x: np.ndarray, y: np.ndarray) -> Estimate:
    """Return the Frechet distance extrapolated to infinitely many images in both sets.

    Chong and Forsyth 2020, https://arxiv.org/abs/1911.07023: to first order the distance is linear in 1/n. We
    compute it for all rows, halves and quarters (disjoint, averaged), and extrapolate the least-squares line
    to 1/n = 0. Thirds would make no difference: on the points n, n/2, n/3 and n/4 their weight is zero.

    The result is unbiased to first order, so it is negative about half the time if the distributions are
    equal. A quarter of the rows must be well above D; with fewer the distance is not linear in 1/n.

    Args:
        x: Features (N, D), N >= 8.
        y: Features (M, D), M >= 8.
    """
    intervals = enough(len(x), len(y), groups=PARTS)
    points: Points = {}
    without: Points = {}
    subsets = [(level, subset) for level in LEVELS for subset in range(level)]
    for k, j in subsets:
        a, b = _strided(x, j, k), _strided(y, j, k)
        points[k, j] = _point(a.statistics, b.statistics)
        for g in range(j, PARTS if intervals else 0, k):  # the groups that lie within this subset
            without[k, g] = _point(_without(a, x, g, PARTS), _without(b, y, g, PARTS))
    value = _intercept(points)
    if not intervals:
        return Estimate(value)
    changed = ({(k, g % k): without[k, g] for k in LEVELS} for g in range(PARTS))
    return jackknife(value, [_intercept({**points, **each}) for each in changed])


Points = dict[tuple[int, int], tuple[float, float]]  # by level and subset, or by level and omitted group


def _point(a: Statistics, b: Statistics) -> tuple[float, float]:
    """Return a point of the line: 1/n + 1/m and the distance."""
    return 1 / a.n + 1 / b.n, frechet_distance(a, b)


def _intercept(points: Points) -> float:
    """Return the intercept of the line through the mean point of each level; keys are (level, subset)."""
    means = [np.mean([point for (level, _), point in points.items() if level == k], axis=0) for k in LEVELS]
    t, d = np.array(means).T
    slope = ((t - t.mean()) * d).sum() / np.square(t - t.mean()).sum()
    return float(d.mean() - slope * t.mean())


def kid(x: np.ndarray, y: np.ndarray, *, paired: bool = False) -> float:
    """Return the unbiased squared MMD with the kernel (x.y / D + 1)^3, Binkowski et al. 2018, Eq. 4.

    Args:
        x: Features (N, D), N >= 2.
        y: Features (M, D), M >= 2.
        paired: Whether row i of y is a reconstruction of row i of x. The terms k(x_i, y_i) are then omitted,
            as in Gretton et al. 2012, Sec. 2.2, since their dependence would bias the distance below zero. A
            perfect reconstruction has 0.
    """
    return _mmd(x, y, paired=paired)(np.ones(GROUPS, dtype=bool))


def kid_estimate(x: np.ndarray, y: np.ndarray, *, paired: bool = False) -> Estimate:
    """Return `kid` with its jackknife interval, if rows suffice, from one pass over the kernels."""
    mmd = _mmd(x, y, paired=paired)
    value = mmd(np.ones(GROUPS, dtype=bool))
    if not enough(len(x), len(y)):
        return Estimate(value)
    return jackknife(value, [mmd(np.arange(GROUPS) != g) for g in range(GROUPS)])


def _mmd(x: np.ndarray, y: np.ndarray, *, paired: bool) -> Callable[[np.ndarray], float]:
    """Return the squared MMD as a function of the groups to include, (G,) of bool."""
    n, m = len(x), len(y)
    assert n >= 2 and m >= 2 and (n == m or not paired)
    if min(n, m) > (x.shape[1] + 1) ** 2:
        xx, yy, xy = _sums_of_moments(x, y, paired=paired)
    else:
        xx, yy = _kernel_sums(x, x, diagonal=False), _kernel_sums(y, y, diagonal=False)
        xy = _kernel_sums(x, y, diagonal=not paired)

    def mmd(groups: np.ndarray) -> float:
        n, m = group_sizes(len(x))[groups].sum(), group_sizes(len(y))[groups].sum()
        within_x, within_y, between = (sums[np.ix_(groups, groups)].sum() for sums in (xx, yy, xy))
        between /= n * (m - 1 if paired else m)
        return float(within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * between)

    return mmd


def group_sizes(n: int) -> np.ndarray:
    """Return the number of rows in each group, (G,), of n rows."""
    return np.bincount(np.arange(n) % GROUPS, minlength=GROUPS)


def _sums_of_moments(x: np.ndarray, y: np.ndarray, *, paired: bool) -> tuple[np.ndarray, ...]:
    """Return the sums of the kernels of x, of y and of both, (G, G), in time linear in the rows.

    (x.y / D + 1)^3 is the inner product of z(x) and z(y) to the power of 3, with z(x) = (x / sqrt(D), 1), and
    so of their third powers as tensors, whose sums over groups are enough. It is faster than all pairs of
    rows from about (D + 1)^2 rows on.
    """
    a, b = _third_moments(x), _third_moments(y)
    xx, yy = a @ a.T - _diagonal(x, x), b @ b.T - _diagonal(y, y)
    return xx, yy, a @ b.T - _diagonal(x, y) if paired else a @ b.T


def _third_moments(x: np.ndarray) -> np.ndarray:
    """Return the sum of z z z over each group's rows, (G, (D + 1)^3)."""
    size = x.shape[1] + 1
    moments = np.zeros((GROUPS, size, size * size))
    for start, rows in blocks(x):
        z = np.column_stack([rows / math.sqrt(x.shape[1]), np.ones(len(rows))])
        for group in range(GROUPS):
            own = z[(group - start) % GROUPS :: GROUPS]
            moments[group] += own.T @ (own[:, :, None] * own[:, None, :]).reshape(len(own), size * size)
    return moments.reshape(GROUPS, -1)


def _diagonal(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the sums of k(x_i, y_i) over each group's rows, as a diagonal matrix (G, G)."""
    sums = np.zeros(GROUPS)
    for (start, a), (_, b) in zip(blocks(x), blocks(y), strict=True):
        sums += membership(start, len(a)) @ ((a * b).sum(1) / x.shape[1] + 1) ** 3
    return np.diag(sums)


def _kernel_sums(x: np.ndarray, y: np.ndarray, *, diagonal: bool) -> np.ndarray:
    """Return sums of the kernel matrix by group of rows and of columns, (G, G)."""
    sums = np.zeros((GROUPS, GROUPS))
    for i, a in blocks(x):
        for j, b in blocks(y):
            if y is x and j < i:
                continue  # its mirror image was counted twice
            kernel = a @ b.T / x.shape[1] + 1
            kernel *= kernel * kernel  # faster than numpy's power
            if i == j and not diagonal:
                np.fill_diagonal(kernel, 0)
            part = membership(i, len(a)) @ kernel @ membership(j, len(b)).T
            sums += part + part.T if y is x and j > i else part
    return sums
