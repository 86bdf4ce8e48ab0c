"""Features -> distances between two sets of images, each with its interval. Pure functions in float64.

Features may be memory-mapped float32: they are read BLOCK rows at a time, and no N x N matrix is ever held.
Shapes: N, M images, D features, G groups of the jackknife.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

GROUPS = 10  # of the jackknife; row i belongs to group i % GROUPS
ROWS = 20  # a group below which, on either side, the spread over groups says too little for an interval
BLOCK = 1024  # rows held at once in float64
LEVELS = (1, 2, 4)  # the extrapolation looks at all rows, at both halves and at the four quarters
PARTS = 12  # its jackknife's groups: each lies whole in one half and in one quarter
T_QUANTILE = {GROUPS: 2.262157, PARTS: 2.200985}  # 97.5 % of Student's t with one degree of freedom less


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval, where there is one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Statistics:
    """The Gaussian that a set of features is summarised by."""

    mean: np.ndarray  # (D,)
    cov: np.ndarray  # (D, D), unbiased: divided by n - 1
    n: int


@dataclass(frozen=True)
class Moments:
    """Sums over rows of features, about a pivot near their mean so that float64 does not cancel.

    Those about the same pivot add up, and subtract, to the moments of the union and of what is left.
    """

    n: int
    total: np.ndarray  # (D,), sum of x - pivot
    outer: np.ndarray  # (D, D), sum of (x - pivot)(x - pivot)^T
    pivot: np.ndarray  # (D,)

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.n + other.n, self.total + other.total, self.outer + other.outer, self.pivot)

    def __sub__(self, other: Moments) -> Moments:
        return Moments(self.n - other.n, self.total - other.total, self.outer - other.outer, self.pivot)

    @property
    def statistics(self) -> Statistics:
        """Mean and unbiased covariance; needs n >= 2."""
        assert self.n >= 2, f"need at least two rows of features, got {self.n}"
        shift = self.total / self.n
        cov = (self.outer - np.outer(self.total, shift)) / (self.n - 1)
        return Statistics(self.pivot + shift, cov, self.n)


def blocks(x: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The rows of x (N, D) in float64, BLOCK at a time, each with the number of its first row."""
    for i in range(0, len(x), BLOCK):
        yield i, np.asarray(x[i : i + BLOCK], dtype=np.float64)


def membership(start: int, rows: int) -> np.ndarray:
    """(G, rows) of 0 and 1: which of the rows start, start + 1, ... are in which group."""
    return np.equal.outer(np.arange(GROUPS), np.arange(start, start + rows) % GROUPS).astype(np.float64)


def enough(*sizes: int, groups: int = GROUPS) -> bool:
    """Whether sets of these sizes have the ROWS a group that an interval asks for."""
    return min(sizes) >= ROWS * groups


def jackknife(value: float, leave_one_out: Sequence[float]) -> Estimate:
    """The value with its delete-a-group jackknife interval, value +- t_{.975, g-1} SE.

    SE^2 = (g - 1) / g sum_j (t_j - mean t)^2, Kott 2001, The Delete-a-Group Jackknife; Shao and Tu 1995,
    The Jackknife and Bootstrap. Rows are left out rather than drawn again: a bootstrap's duplicates are at
    distance zero from each other, which real samples never are, and that biases distances and neighbours.

    It covers which images were drawn, on both sides. It does not cover that another training run would
    have given another model, nor the bias of `value` itself.

    Args:
        value: Over all rows.
        leave_one_out: The same without the rows of each group in turn: GROUPS or PARTS values.
    """
    g, t = len(leave_one_out), np.asarray(leave_one_out, dtype=np.float64)
    half = T_QUANTILE[g] * math.sqrt((g - 1) / g * np.square(t - t.mean()).sum())
    return Estimate(float(value), float(value - half), float(value + half))


def moments(x: np.ndarray, pivot: np.ndarray) -> Moments:
    """The moments of features x (N, D) about pivot (D,), at most a few deviations from the mean."""
    d = x.shape[1]
    total, outer = np.zeros(d), np.zeros((d, d))
    for _, block in blocks(x):
        block = block - pivot
        total += block.sum(0)
        outer += block.T @ block
    return Moments(len(x), total, outer, pivot)


def _pivot(x: np.ndarray) -> np.ndarray:
    """One row, which is near enough to the mean; a constant feature has sums of exactly zero about it."""
    return np.asarray(x[0], dtype=np.float64)


def statistics(features: np.ndarray) -> Statistics:
    """Mean and covariance of features (N, D), N >= 2."""
    return moments(features, _pivot(features)).statistics


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^1/2), Dowson and Landau 1982; on Inception, FID.

    Biased upwards from finite sets, by about a constant over n: compare only at the same n, or see
    `frechet_unbiased`.
    """
    cross = _trace_of_root(a.cov, b.cov)
    distance = np.square(a.mean - b.mean).sum() + np.trace(a.cov) + np.trace(b.cov) - 2 * cross
    return float(max(distance, 0.0))


def _trace_of_root(a: np.ndarray, b: np.ndarray) -> float:
    """Trace of (A B)^1/2, from the eigenvalues of L^T B L with A = L L^T, which are those of A B.

    L^T B L is symmetric, so that no square root of a non-symmetric, possibly singular product is taken.
    """
    # A constant feature adds nothing, and would cost the Cholesky factor.
    alive = (np.diag(a) > 0) & (np.diag(b) > 0)
    if not alive.all():
        a, b = a[np.ix_(alive, alive)], b[np.ix_(alive, alive)]
    root, other = _root(a, b)
    product = root.T @ other @ root
    del root, other  # matrices of 33 MB at D = 2048
    eigenvalues = np.linalg.eigvalsh(product)
    return float(
        np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    )  # rounding leaves tiny negatives instead of zeros


def _root(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """L with L L^T = A or B, and the other of the two; Cholesky is much cheaper but wants full rank."""
    for one, other in ((a, b), (b, a)):
        try:
            return np.linalg.cholesky(one), other
        except np.linalg.LinAlgError:
            continue
    values, vectors = np.linalg.eigh(a)
    return vectors * np.sqrt(np.clip(values, 0, None)), b


Sides = tuple[Moments, Moments]


def _every(x: np.ndarray, y: np.ndarray, start: int, step: int) -> Sides:
    """The moments of rows start, start + step, ... of both sides."""
    return moments(x[start::step], _pivot(x)), moments(y[start::step], _pivot(y))


def _frechet(a: Moments, b: Moments) -> float:
    return frechet_distance(a.statistics, b.statistics)


def frechet_estimate(x: np.ndarray, y: np.ndarray) -> Estimate:
    """Frechet distance between features (N, D) and (M, D), with the jackknife interval where rows are enough.

    The interval is about the biased value at this n, not about the distance of the distributions.
    """
    a, b = _every(x, y, 0, 1)
    value = _frechet(a, b)
    if not enough(len(x), len(y)):
        return Estimate(value)
    left_out = (_every(x, y, g, GROUPS) for g in range(GROUPS))
    return jackknife(value, [_frechet(a - p, b - q) for p, q in left_out])


def frechet_unbiased(x: np.ndarray, y: np.ndarray) -> Estimate:
    """The Frechet distance that infinitely many images on both sides would have, extrapolated over sizes.

    Chong and Forsyth 2020, https://arxiv.org/abs/1911.07023: to first order the distance is linear in 1/n. It
    is taken between all rows, between halves and between quarters (disjoint, averaged), and the least-squares
    line through the three is followed to 1/n = 0. Thirds would change nothing: on the four points n, n/2, n/3
    and n/4 least squares gives them the weight zero.

    Unbiased to that order, so below zero about half the time where the distributions are equal. Needs a
    quarter of the rows to be well above D; with fewer the line is no line.

    Args:
        x: Features (N, D), N >= 8.
        y: Features (M, D), M >= 8.
    """
    finest = LEVELS[-1]
    quarters = [_every(x, y, q, finest) for q in range(finest)]
    points = {(k, j): _point(*_union(quarters[j::k])) for k in LEVELS for j in range(k)}
    value = _intercept(points)
    if not enough(len(x), len(y), groups=PARTS):
        return Estimate(value)
    left_out = []
    for g in range(PARTS):
        # The group lies in one subset of each level, so only those are done again. Its moments are summed
        # anew because twelve pairs of D x D matrices would be most of a gigabyte at D = 2048.
        p, q = _every(x, y, g, PARTS)
        changed = {}
        for k in LEVELS:
            changed[k, g % k] = _point(*_without(_union(quarters[g % k :: k]), (p, q)))
        left_out.append(_intercept({**points, **changed}))
    return jackknife(value, left_out)


def _union(parts: Sequence[Sides]) -> Sides:
    (a, b), *others = parts
    for p, q in others:
        a, b = a + p, b + q
    return a, b


def _without(whole: Sides, part: Sides) -> Sides:
    return whole[0] - part[0], whole[1] - part[1]


def _point(a: Moments, b: Moments) -> tuple[float, float]:
    """Where a distance lies on the line, 1/n + 1/m, and the distance."""
    return 1 / a.n + 1 / b.n, _frechet(a, b)


def _intercept(points: dict[tuple[int, int], tuple[float, float]]) -> float:
    """Of the least-squares line through the mean point of each level; keys are (level, subset)."""
    means = [np.mean([point for (level, _), point in points.items() if level == k], axis=0) for k in LEVELS]
    t, d = np.array(means).T
    slope = ((t - t.mean()) * d).sum() / np.square(t - t.mean()).sum()
    return float(d.mean() - slope * t.mean())


def kid(x: np.ndarray, y: np.ndarray, *, paired: bool = False) -> float:
    """Unbiased squared MMD with the kernel (x.y / D + 1)^3, Binkowski et al. 2018, Eq. 4, over the full sets.

    Args:
        x: Features (N, D), N >= 2.
        y: Features (M, D), M >= 2.
        paired: Row i of y was made from row i of x (a reconstruction). The terms k(x_i, y_i) are then left
            out, as in Gretton et al. 2012, Sec. 2.2: their dependence would bias the distance below zero. A
            perfect reconstruction gives 0.
    """
    return _mmd(x, y, paired=paired)(np.ones(GROUPS, dtype=bool))


def kid_estimate(x: np.ndarray, y: np.ndarray, *, paired: bool = False) -> Estimate:
    """KID, as `kid`, with the jackknife interval where rows are enough, from one pass over the kernels."""
    mmd = _mmd(x, y, paired=paired)
    value = mmd(np.ones(GROUPS, dtype=bool))
    if not enough(len(x), len(y)):
        return Estimate(value)
    return jackknife(value, [mmd(np.arange(GROUPS) != g) for g in range(GROUPS)])


def _mmd(x: np.ndarray, y: np.ndarray, *, paired: bool) -> Callable[[np.ndarray], float]:
    """The squared MMD as a function of the groups that are kept, (G,) of bool."""
    n, m = len(x), len(y)
    assert n >= 2 and m >= 2 and (n == m or not paired)
    xx, yy = _kernel_sums(x, x, diagonal=False), _kernel_sums(y, y, diagonal=False)
    xy = _kernel_sums(x, y, diagonal=not paired)

    def mmd(kept: np.ndarray) -> float:
        n, m = group_sizes(len(x))[kept].sum(), group_sizes(len(y))[kept].sum()
        within_x, within_y, between = (sums[np.ix_(kept, kept)].sum() for sums in (xx, yy, xy))
        between /= n * (m - 1 if paired else m)
        return float(within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * between)

    return mmd


def group_sizes(n: int) -> np.ndarray:
    """How many of n rows are in each group, (G,)."""
    return np.bincount(np.arange(n) % GROUPS, minlength=GROUPS)


def _kernel_sums(x: np.ndarray, y: np.ndarray, *, diagonal: bool) -> np.ndarray:
    """Sums of the kernel matrix, with or without its diagonal, by group of rows and of columns, (G, G)."""
    sums = np.zeros((GROUPS, GROUPS))
    for i, a in blocks(x):
        for j, b in blocks(y):
            if y is x and j < i:
                continue  # the mirror image of a block that was counted twice
            kernel = a @ b.T / x.shape[1] + 1
            kernel *= kernel * kernel  # numpy's power is many times slower
            if i == j and not diagonal:
                np.fill_diagonal(kernel, 0)
            part = membership(i, len(a)) @ kernel @ membership(j, len(b)).T
            sums += part + part.T if y is x and j > i else part
    return sums
