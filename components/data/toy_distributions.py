"""Toy distributions with known modes, and metrics of the modes that a generator covers.

A ring of 8 Gaussians (Metz et al. 2017, https://arxiv.org/abs/1611.02163, App. A) and a grid of 25 (PacGAN,
Lin et al. 2018, https://arxiv.org/abs/1712.04086, Sec. 4.1), both in their authors' proportions but within
[-1, 1], as images of two channels and one pixel; and stacked digits, three to an image, with 1,000 modes
(Metz et al., Sec. 3.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from components.common.seeds import derive
from components.data.dataset import to_float
from models.data_spec import DataSpec
from models.family import Batch, Generator, Noise

POINT = DataSpec(channels=2, resolution=1)
STACKED = DataSpec(channels=3, resolution=28)
NEAR = 3.0  # standard deviations within which a sample belongs to a mode, as in PacGAN


@dataclass(frozen=True)
class Mixture:
    """Equal, round Gaussians in the plane."""

    centres: Tensor  # (K, 2)
    std: float

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n points as images, (N, 2, 1, 1)."""
        mode = torch.randint(len(self.centres), (n,), generator=generator)
        return (self.centres[mode] + self.std * torch.randn(n, 2, generator=generator))[..., None, None]

    def modes(self, points: Tensor) -> tuple[np.ndarray, float]:
        """Return how many points (N, 2) belong to each mode, and the fraction that belongs to any."""
        distance, mode = torch.cdist(points, self.centres).min(1)
        near = distance <= NEAR * self.std
        counts = torch.bincount(mode[near], minlength=len(self.centres))
        return counts.numpy(), float(near.float().mean())


def ring() -> Mixture:
    """Return eight Gaussians on a circle, with a standard deviation of 1/100 of its radius."""
    angle = torch.arange(8) * (2 * math.pi / 8)
    return Mixture(0.8 * torch.stack([angle.cos(), angle.sin()], 1), std=0.008)


def grid() -> Mixture:
    """Return 5 x 5 Gaussians with a standard deviation of 1/40 of their spacing."""
    side = torch.linspace(-0.8, 0.8, 5)
    return Mixture(torch.cartesian_prod(side, side), std=0.01)


@dataclass(frozen=True)
class Points:
    """A data source for training: new points every step, as a function of (seed, step, shard)."""

    mixture: Mixture
    batch: int
    seed: int

    def at(self, step: int, shard: int = 0, shards: int = 1) -> Batch:
        """Return the points of a shard of the step's batch."""
        n = self.batch // shards
        generator = torch.Generator().manual_seed(derive(self.seed, "points", step, shard))
        return Batch(n, image=self.mixture.draw(n, generator))


@dataclass(frozen=True)
class StackedDigits:
    """A data source for training: images whose colour channels are three random digits.

    `digits` is uint8 (N, 1, 28, 28).
    """

    digits: np.ndarray
    batch: int
    seed: int

    def at(self, step: int, shard: int = 0, shards: int = 1) -> Batch:
        """Return the images of a shard of the step's batch."""
        n = self.batch // shards
        generator = torch.Generator().manual_seed(derive(self.seed, "stacked", step, shard))
        rows = torch.randint(len(self.digits), (n, 3), generator=generator).numpy()
        return Batch(n, image=to_float(self.digits[rows][:, :, 0]))


def points_of(generator: Generator, n: int, seed: int) -> Tensor:
    """Sample n points (N, 2) from a generator of points."""
    with torch.no_grad():
        noise = Noise(derive(seed, "point", i) for i in range(n))
        return generator.sample(Batch(n), noise).flatten(1)


def stacked_modes(images: np.ndarray, classify: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Count the images of each of the 1,000 modes.

    Args:
        images: uint8 (N, 3, 28, 28).
        classify: from uint8 (N, 1, 28, 28) to classes (N,).
    """
    digits = [classify(np.ascontiguousarray(images[:, [channel]])) for channel in range(3)]
    return np.bincount(100 * digits[0] + 10 * digits[1] + digits[2], minlength=1000)


def covered(counts: np.ndarray) -> int:
    """Return the number of modes with at least one sample."""
    return int((counts > 0).sum())


def reverse_kl(counts: np.ndarray, expected: np.ndarray | None = None) -> float:
    """Return KL(samples || data) over the modes, in nats; infinite if no sample belongs to any mode.

    Args:
        counts: samples of each mode.
        expected: probability of each mode in the data; None: uniform.
    """
    if not counts.sum():
        return math.inf
    p = counts / counts.sum()
    q = np.full(len(p), 1 / len(p)) if expected is None else expected
    p, q = p[p > 0], q[p > 0]
    return float((p * np.log(p / q)).sum())


def energy_distance(x: Tensor, y: Tensor) -> float:
    """Return 2 E|X - Y| - E|X - X'| - E|Y - Y'|, unbiased; 0 for equal distributions (Szekely & Rizzo 2013).

    Args:
        x: points (N, D).
        y: points (M, D).
    """
    within = [torch.cdist(z, z).sum() / (len(z) * (len(z) - 1)) for z in (x, y)]
    return float(2 * torch.cdist(x, y).mean() - within[0] - within[1])
