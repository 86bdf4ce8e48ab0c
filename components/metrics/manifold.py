"""Features and images -> numbers. Pure functions in float64: no files, no networks, no seeds but fixed ones.

Distances between sets of features are in distances.py, which the training loop shares.
Shapes: N, M images, D features, G groups of the jackknife.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from components.metrics.distances import GROUPS, Estimate, blocks, enough, group_sizes, jackknife
from components.metrics.intervals import share

PERFECT = 1e-10  # mean square error below which PSNR stops growing: 100 dB

NEAR = (
    32  # neighbours kept of each row: the k-th is still among them when a group of the jackknife is left out
)

K_PRECISION, K_DENSITY = 3, 5  # neighbours that a ball reaches to, as in the papers


@dataclass(frozen=True)
class Space:
    """Where squared distances are taken: an origin near the features, and what rounding may add to one.

    |x|^2 + |y|^2 - 2 x.y loses digits in proportion to |x|^2, so features are moved to the origin first;
    `slack` bounds what remains, so that an exact copy, or a tie, is never outside a ball for rounding's sake.
    """

    origin: np.ndarray  # (D,)
    slack: float

    def distances(
        self, x: np.ndarray, y: np.ndarray, *, above: bool = False
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """First row, first column and squared distances of each block of rows of x and of y.

        Rounding may leave a copy a little below zero, by less than the slack.

        Args:
            x: Features (N, D).
            y: Features (M, D).
            above: Only the blocks on and above the diagonal; where y is x the others mirror them.
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
    """Precision and recall, density and coverage, of features real (N, D) and fake (M, D).

    A set's manifold is the union of the closed balls about its points that reach to the k-th nearest other.
    Kynkaanniemi et al. 2019, https://arxiv.org/abs/1904.06991, Eq. 2, k = 3: precision is the share of
    samples inside the real manifold, recall the share of real images inside the samples' manifold. Naeem
    et al. 2020, https://arxiv.org/abs/2002.09797, Sec. 3, k = 5: density is the number of real balls that a
    sample lies in, over k, about 1 where the sets agree and unbounded above; coverage is the share of real
    balls that hold a sample.

    All depend on n: the balls shrink as it grows. Compare at the same N = M only. Intervals are the
    jackknife's, those of shares never narrower than Wilson's, since replicates that agree on 0 or 1 prove no
    certainty.

    Args:
        real: Features of real images, N > 5.
        fake: Features of generated images, M > 5.
    """
    space = _space(real, fake)
    near_real, near_fake = _neighbours(real, space), _neighbours(fake, space)
    tight, wide = _radii(near_real, K_PRECISION, space), _radii(near_real, K_DENSITY, space)
    fakes_tight = _radii(near_fake, K_PRECISION, space)
    inside, recalled, covered = (
        np.zeros((n, GROUPS + 1), dtype=bool) for n in (len(fake), len(real), len(real))
    )
    counts = np.zeros(GROUPS + 1)  # of pairs of a real ball and a sample in it
    for i, j, squares in space.distances(real, fake):
        rows, columns = slice(i, i + squares.shape[0]), slice(j, j + squares.shape[1])
        _, samples, hits = _hits(squares, tight[rows], j)
        _mark(inside[columns], samples, hits)
        _, images, hits = _hits(squares.T, fakes_tight[columns], i)
        _mark(recalled[rows], images, hits)
        balls, _, hits = _hits(squares, wide[rows], j)
        _mark(covered[rows], balls, hits)
        counts += hits.sum(0)
    intervals = enough(len(real), len(fake))
    return {
        "precision": _share_of_rows(inside, intervals=intervals),
        "recall": _share_of_rows(recalled, intervals=intervals),
        "density": _per_row(counts / K_DENSITY, len(fake), intervals=intervals),
        "coverage": _share_of_rows(covered, intervals=intervals),
    }


def _neighbours(x: np.ndarray, space: Space) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances from each row to its nearest others, ascending, and their groups; both (N, NEAR)."""
    near = np.full((len(x), min(NEAR, len(x) - 1)), np.inf)
    groups = np.zeros(near.shape, dtype=np.int8)
    for i, j, squares in space.distances(x, x, above=True):
        if i == j:
            np.fill_diagonal(squares, np.inf)  # a row is not its own neighbour, but its copies are
        _keep_nearest(near[i : i + len(squares)], groups[i : i + len(squares)], squares, j)
        if i != j:
            end = j + squares.shape[1]
            _keep_nearest(near[j:end], groups[j:end], squares.T, i)
    order = np.argsort(near, axis=1, kind="stable")
    return np.take_along_axis(near, order, 1), np.take_along_axis(groups, order, 1)


def _keep_nearest(near: np.ndarray, groups: np.ndarray, squares: np.ndarray, start: int) -> None:
    """Let the columns start, start + 1, ... of squares compete with the nearest so far, in place."""
    columns = np.broadcast_to(np.arange(start, start + squares.shape[1]) % GROUPS, squares.shape)
    squares = np.concatenate([near, squares], axis=1)
    labels = np.concatenate([groups, columns.astype(np.int8)], axis=1)
    kept = np.argpartition(squares, near.shape[1] - 1, axis=1)[:, : near.shape[1]]
    near[:], groups[:] = np.take_along_axis(squares, kept, 1), np.take_along_axis(labels, kept, 1)


def _radii(neighbours: tuple[np.ndarray, np.ndarray], k: int, space: Space) -> np.ndarray:
    """Squared radius of each row's ball without each group in turn, and with all: (N, G + 1).

    The ball of a row that is itself left out is empty: -inf. Should nearly all kept neighbours be of one
    group, the farthest stands in for the k-th of the others.
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
    """Balls (rows) and points (columns) of the P pairs that touch, and without which groups, (P, G + 1).

    Few pairs do, so only these are looked at group by group.

    Args:
        squares: Squared distances.
        radii: Of each row, as of `_radii`.
        start: Number of the first column among all points.
    """
    balls, points = np.nonzero(squares <= radii.max(1, keepdims=True))
    hits = squares[balls, points][:, None] <= radii[balls]
    own = (start + points) % GROUPS
    hits[np.arange(len(points)), own] = False  # without its own group a point is not there
    return balls, points, hits


def _mark(marks: np.ndarray, rows: np.ndarray, hits: np.ndarray) -> None:
    """Set marks[row, g] where any of the row's pairs hits without group g."""
    for g in range(GROUPS + 1):
        marks[rows[hits[:, g]], g] = True


def _per_row(totals: np.ndarray, n: int, *, intervals: bool) -> Estimate:
    """Mean over n rows, from the sums over them without each group in turn and with all, (G + 1,)."""
    value = float(totals[-1] / n)
    return jackknife(value, totals[:-1] / (n - group_sizes(n))) if intervals else Estimate(value)


def _share_of_rows(marks: np.ndarray, *, intervals: bool) -> Estimate:
    """Share of rows that are marked, (N, G + 1); its interval lies within [0, 1] and is at least Wilson's."""
    n = len(marks)
    found, wilson = _per_row(marks.sum(0), n, intervals=intervals), share(int(marks[:, -1].sum()), n)
    if found.low is None or found.high is None or wilson.low is None or wilson.high is None:
        return found
    return Estimate(found.value, max(0.0, min(found.low, wilson.low)), min(1.0, max(found.high, wilson.high)))


def nearest(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest row of y (M, D) to each row of x (N, D): indices (N,) and distances (N,).

    Of rows of y that rounding cannot tell apart the first is taken. Distances are computed again from the
    found pairs, so that a copy is at zero exactly.
    """
    space = _space(x, y)
    indices, distances = np.zeros(len(x), dtype=np.int64), np.full(len(x), np.inf)
    for i, j, squares in space.distances(x, y):
        best = np.argmax(squares <= squares.min(1, keepdims=True) + space.slack, axis=1)
        rows, found = slice(i, i + len(squares)), j + best
        exact = np.linalg.norm(np.asarray(x[rows], dtype=np.float64) - y[found], axis=1)
        closer = exact < distances[rows]
        indices[rows] = np.where(closer, found, indices[rows])
        distances[rows] = np.where(closer, exact, distances[rows])
    return indices, distances


def closeness(distances: np.ndarray, quantile: float = 0.01) -> float:
    """The distance to its nearest training image that only 1 % of real held-out images come as close as.

    It is what tells a memorised sample from one that is merely typical, in the spirit of Meehan et al.
    2020, https://arxiv.org/abs/2004.05675, who compare the same two sets of distances.

    Args:
        distances: From each real held-out image to its nearest training image, (N,).
        quantile: Share of them that lies at most this far.
    """
    return float(np.quantile(distances, quantile, method="inverted_cdf"))


def memorised(distances: np.ndarray, threshold: float) -> Estimate:
    """Share of samples at most `threshold` from their nearest training image, with Wilson's interval."""
    return share(int((np.asarray(distances) <= threshold).sum()), len(distances))
