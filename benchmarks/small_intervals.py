"""Measure the jackknife's intervals of small sets: their coverage, and how often chance alone would promote.

Two "models" draw from the same images, real features with noise added, so neither is better. A promotion by
the gate's rule, a gain of more than the noise of both intervals, is an error, which 2.5 % of pairs may have.

    python benchmarks/small_intervals.py STORE/store/reference/KEY/attempts/1/features/train.npy
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from components.evaluation.gate import Z_QUANTILE
from components.metrics import distances
from components.metrics.distances import Estimate
from components.metrics.manifold import manifold

SIZES = (60, 88, 120, 200)
NOISE = 0.3  # added to what models draw, in standard deviations of each feature


def estimates(real: np.ndarray, drawn: np.ndarray) -> Mapping[str, Estimate]:
    """Return the metrics of one set of images by name."""
    shares = manifold(real, drawn)
    return {
        "frechet_distance": distances.frechet_estimate(drawn, real),
        "frechet_distance_infinity": distances.frechet_unbiased(drawn, real),
        "kid": distances.kid_estimate(drawn, real),
        **{name: shares[name] for name in ("precision", "recall", "coverage")},
    }


def gains(a: Estimate, b: Estimate) -> bool:
    """Return whether b is below a by more than the noise of both, as the gate asks."""
    variances = [
        ((e.high - e.low) / (2 * Z_QUANTILE)) ** 2 for e in (a, b) if e.high is not None and e.low is not None
    ]
    return a.value - b.value > Z_QUANTILE * math.sqrt(sum(variances))


def measure(draw: Callable[[int], tuple[np.ndarray, np.ndarray, np.ndarray]], n: int, rounds: int) -> None:
    """Print coverage of the mean value and share of promotions by chance, for each metric."""
    pairs = []
    for _ in range(rounds):
        real, first, second = draw(n)
        pairs.append((estimates(real, first), estimates(real, second)))
    for name in pairs[0][0]:
        result = [pair[name] for both in pairs for pair in both]
        mean = np.mean([one.value for one in result])
        inside = np.mean([(one.low or 0.0) <= mean <= (one.high or 0.0) for one in result])
        chance = np.mean([gains(a[name], b[name]) for a, b in pairs])
        print(f"| {n} | {name} | {100 * inside:.1f} % | {100 * chance:.1f} % |", flush=True)


def main() -> None:
    """Measure each size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("features", type=Path)
    parser.add_argument("--rounds", type=int, default=200)
    args = parser.parse_args()
    distances.ROWS = 1  # intervals for any size
    random = np.random.RandomState(0)
    features = np.load(args.features).astype(np.float64)
    real, others = np.array_split(features[random.permutation(len(features))], 2)
    drawn = others + NOISE * features.std(0) * random.standard_normal(others.shape)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = random.choice(len(drawn), 2 * n, replace=False)
        return real[random.choice(len(real), n, replace=False)], drawn[rows[:n]], drawn[rows[n:]]

    print("| images | metric | coverage of 95 % intervals | promoted by chance |\n| --- | --- | --- | --- |")
    for n in SIZES:
        measure(draw, n, args.rounds)


if __name__ == "__main__":
    main()
