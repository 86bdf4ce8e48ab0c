"""Precision, recall, density, coverage and memorisation. Pure functions in float64.

Shapes: N, M images, D features, G groups of the jackknife.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from components.metrics.distances import GROUPS, Estimate, blocks, enough, group_sizes, jackknife
from components.metrics.intervals import share

PERFECT = 1e-10  # mean squared error below which PSNR stays at 100 dB
NEAR = 32  # stored neighbours per row, enough to include the k-th without any group of the jackknife
K_PRECISION, K_DENSITY = 3, 5  # k of the balls, as in the papers
MAX_POINTS = (
    50_000  # of either side, as in Kynkaanniemi et al. 2019, Sec. 3: the time grows with their square
)


@dataclass(frozen=True)
class Space:
    """An origin near the features, and a bound on the rounding error of squared distances.

    The rounding error of |x|^2 + |y|^2 - 2 x.y is proportional to |x|^2, so features are shifted to the
    origin first. `slack` bounds the remaining error: rounding never puts copies or ties outside a ball.
    """

    origin: np.ndarray  # (D,)
    slack: float

    def distances(
        self, x: np.ndarray, y: np.ndarray, *, above: bool = False
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield first row, first column and squared distances of each block of rows of x and y.

        Squared distances of copies may be negative by less than the slack.

        Args:
            x: Features (N, D).
            y: Features (M, D).
            above: Whether to omit the blocks below the diagonal, which mirror the others if y is x.
        """
        for i, a in blocks(x):
            a = a - self.origin
            for j, b in blocks(y):
                if above and j < i:
                    continue
                b = b - self.origin
                yield i, j, np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * (a @ b.T)


def _space(x: np.ndarray, y: np.ndarray) -> Space:
    origin = np.asarray(x[0], dtype=np.float64)
    largest = max(np.square(block - origin).sum(1).max() for side in (x, y) for _, block in blocks(side))
    return Space(origin, float(8 * x.shape[1] * np.finfo(np.float64).eps * largest))


def manifold(real: np.ndarray, fake: np.ndarray) -> dict[str, Estimate]:
    """Return precision, recall, density and coverage of features real (N, D) and fake (M, D).

    The manifold of a set is the union of the closed balls about its points with the k-th nearest neighbour as
    radius. Kynkaanniemi et al. 2019, https://arxiv.org/abs/1904.06991, Eq. 2, k = 3: precision is the share
    of samples in the real manifold, recall the share of real images in the samples' manifold. Naeem et al.
    2020, https://arxiv.org/abs/2002.09797, Sec. 3, k = 5: density is the number of real balls that contain a
    sample, over k, about 1 for equal distributions and unbounded above; coverage is the share of real balls
    that contain a sample.

    All depend on n, since balls shrink as it grows: compare values only at the same N = M. Intervals are from
    the jackknife; those of shares are at least Wilson's, since replicates may all be 0 or 1 by chance.

    Args:
        real: Features of real images, N > 5; only the first 50,000 are used.
        fake: Features of generated images, M > 5; only the first 50,000 are used.
    """
    real, fake = real[:MAX_POINTS], fake[:MAX_POINTS]
    space = _space(real, fake)
    near_real, near_fake = _neighbours(real, space), _neighbours(fake, space)
    radii_precision, radii_density = (_radii(near_real, k, space) for k in (K_PRECISION, K_DENSITY))
    radii_recall = _radii(near_fake, K_PRECISION, space)
    precise, recalled, covered = (
        np.zeros((n, GROUPS + 1), dtype=bool) for n in (len(fake), len(real), len(real))
    )
    counts = np.zeros(GROUPS + 1)  # of pairs of a real ball and a sample in it
    for i, j, squares in space.distances(real, fake):
        rows, columns = slice(i, i + squares.shape[0]), slice(j, j + squares.shape[1])
        _, samples, hits = _hits(squares, radii_precision[rows], j)
        _mark(precise[columns], samples, hits)
        _, images, hits = _hits(squares.T, radii_recall[columns], i)
        _mark(recalled[rows], images, hits)
        balls, _, hits = _hits(squares, radii_density[rows], j)
        _mark(covered[rows], balls, hits)
        counts += hits.sum(0)
    intervals = enough(len(real), len(fake))
    return {
        "precision": _share_of_rows(precise, intervals=intervals),
        "recall": _share_of_rows(recalled, intervals=intervals),
        "density": _per_row(counts / K_DENSITY, len(fake), intervals=intervals),
        "coverage": _share_of_rows(covered, intervals=intervals),
    }


def _neighbours(x: np.ndarray, space: Space) -> tuple[np.ndarray, np.ndarray]:
    """Return ascending squared distances to each row's nearest other rows, and their groups, (N, NEAR)."""
    near = np.full((len(x), min(NEAR, len(x) - 1)), np.inf)
    groups = np.zeros(near.shape, dtype=np.int8)
    for i, j, squares in space.distances(x, x, above=True):
        if i == j:
            np.fill_diagonal(squares, np.inf)  # copies of a row are neighbours, the row itself is not
        _keep_nearest(near[i : i + len(squares)], groups[i : i + len(squares)], squares, j)
        if i != j:
            end = j + squares.shape[1]
            _keep_nearest(near[j:end], groups[j:end], squares.T, i)
    order = np.argsort(near, axis=1, kind="stable")
    return np.take_along_axis(near, order, 1), np.take_along_axis(groups, order, 1)


def _keep_nearest(near: np.ndarray, groups: np.ndarray, squares: np.ndarray, start: int) -> None:
    """Update the nearest neighbours in place with squared distances to the rows start, start + 1, ..."""
    columns = np.broadcast_to(np.arange(start, start + squares.shape[1]) % GROUPS, squares.shape)
    squares = np.concatenate([near, squares], axis=1)
    labels = np.concatenate([groups, columns.astype(np.int8)], axis=1)
    order = np.argpartition(squares, near.shape[1] - 1, axis=1)[:, : near.shape[1]]
    near[:], groups[:] = np.take_along_axis(squares, order, 1), np.take_along_axis(labels, order, 1)


def _radii(neighbours: tuple[np.ndarray, np.ndarray], k: int, space: Space) -> np.ndarray:
    """Return the squared radius of each row's ball without each group in turn, and with all: (N, G + 1).

    The ball of a row in the omitted group is empty, -inf. If nearly all stored neighbours belong to that
    group, the farthest of them replaces the k-th of the others.
    """
    near, groups = neighbours
    k = min(k, near.shape[1])
    columns = [
        np.partition(np.where(groups == g, near[:, -1:], near), k - 1)[:, k - 1] for g in range(GROUPS)
    ]
    radii = np.stack([*columns, near[:, k - 1]], axis=1) + space.slack
    rows = np.arange(len(radii))
    radii[rows, rows % GROUPS] = -np.inf
    return radii


def _hits(squares: np.ndarray, radii: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return balls (rows) and points (columns) of the P pairs with the point in the ball, and their hits.

    Hits (P, G + 1) say whether the point is in the ball without each group in turn, and with all.

    Args:
        squares: Squared distances.
        radii: Radii of each row from `_radii`.
        start: Index of the first column among all points.
    """
    balls, points = np.nonzero(squares <= radii.max(1, keepdims=True))
    hits = squares[balls, points][:, None] <= radii[balls]
    hits[np.arange(len(points)), (start + points) % GROUPS] = False  # the point's group is omitted
    return balls, points, hits


def _mark(marks: np.ndarray, rows: np.ndarray, hits: np.ndarray) -> None:
    """Set marks[row, g] if any of the row's pairs hits without group g."""
    for g in range(GROUPS + 1):
        marks[rows[hits[:, g]], g] = True


def _per_row(totals: np.ndarray, n: int, *, intervals: bool) -> Estimate:
    """Return the mean over n rows from their totals without each group in turn, and with all, (G + 1,)."""
    value = float(totals[-1] / n)
    return jackknife(value, totals[:-1] / (n - group_sizes(n))) if intervals else Estimate(value)


def _share_of_rows(marks: np.ndarray, *, intervals: bool) -> Estimate:
    """Return the share of marked rows, with an interval within [0, 1] that is at least Wilson's."""
    n = len(marks)
    mean, wilson = _per_row(marks.sum(0), n, intervals=intervals), share(int(marks[:, -1].sum()), n)
    if mean.low is None or mean.high is None or wilson.low is None or wilson.high is None:
        return mean
    return Estimate(mean.value, max(0.0, min(mean.low, wilson.low)), min(1.0, max(mean.high, wilson.high)))


def nearest(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return indices (N,) of and distances (N,) to the nearest row of y (M, D) for each row of x (N, D).

    If rounding cannot distinguish rows of y, the first is chosen. Distances are recomputed from the pairs, so
    that copies have a distance of exactly zero.
    """
    space = _space(x, y)
    indices, distances = np.zeros(len(x), dtype=np.int64), np.full(len(x), np.inf)
    for i, j, squares in space.distances(x, y):
        columns = j + np.argmax(squares <= squares.min(1, keepdims=True) + space.slack, axis=1)
        rows = slice(i, i + len(squares))
        exact = np.linalg.norm(np.asarray(x[rows], dtype=np.float64) - y[columns], axis=1)
        closer = exact < distances[rows]
        indices[rows] = np.where(closer, columns, indices[rows])
        distances[rows] = np.where(closer, exact, distances[rows])
    return indices, distances


def closeness(distances: np.ndarray, quantile: float = 0.01) -> float:
    """Return the 1 % quantile of real held-out images' distances to their nearest training images.

    Samples within this distance count as memorised. Meehan et al. 2020, https://arxiv.org/abs/2004.05675,
    compare the same two sets of distances.

    Args:
        distances: From each real held-out image to its nearest training image, (N,).
        quantile: Share of held-out images within the returned distance.
    """
    return float(np.quantile(distances, quantile, method="inverted_cdf"))


def memorised(distances: np.ndarray, threshold: float) -> Estimate:
    """Return the share of samples within `threshold` of a training image, with Wilson's interval."""
    return share(int((np.asarray(distances) <= threshold).sum()), len(distances))
