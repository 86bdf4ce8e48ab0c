"""Measure diversity and drift of fixed-seed samples during training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from components.common.seeds import derive
from components.metrics.diversity import RelativeDiversity
from components.sampling.conditions import FixedConditions
from models.family import Generator, Noise

Features = Callable[[Tensor], "np.ndarray | Tensor"]
"""From images (N, C, H, W) in [-1, 1] to feature vectors (N, D)."""


class Probe:
    """Fixed-seed samples of a generator in training, measured in feature space.

    Args:
        conditions: the conditions of the samples.
        features: maps images to feature vectors.
        real: images (N, C, H, W) in [-1, 1]; the diversity is relative to at most `n` of them.
        n: number of samples, or of real images if those are fewer, since diversity depends on the number.
        seed: seed of the noise and of the choice of real images.
    """

    def __init__(
        self, conditions: FixedConditions, features: Features, real: Tensor, n: int = 128, seed: int = 0
    ):
        self.conditions, self.features, self.n, self.seed = conditions, features, min(n, len(real)), seed
        choice = torch.randperm(len(real), generator=torch.Generator().manual_seed(derive(seed, "real")))
        self.diversity = RelativeDiversity(self._vectors(real[choice[:n]]))
        self.last: Tensor | None = None  # (N, D) features of the samples at the last check

    def __call__(self, generator: Generator) -> dict[str, float]:
        """Return the diversity of the samples and, from the second check on, their drift since the last one.

        diversity: 1 means as diverse as the same number of real images, near 0 means identical samples.
        sample_drift: mean distance of samples from themselves at the last check, over that of two images.
        """
        vectors = self._vectors(self._sample(generator))
        last, self.last = self.last, torch.from_numpy(vectors)
        if not np.isfinite(vectors).all():
            return {"diversity": math.nan}
        values = {"diversity": self.diversity(vectors)}
        if last is not None:
            moved = np.linalg.norm(vectors - last.numpy(), axis=1).mean()
            values["sample_drift"] = float(moved) / self.diversity.mean_distance
        return values

    def state(self) -> dict[str, Tensor]:
        """Return the state on which the next check depends."""
        return {} if self.last is None else {"last": self.last}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from the result of `state`."""
        self.last = state.get("last")

    def _sample(self, generator: Generator) -> Tensor:
        device = next(generator.parameters()).device
        batch = self.conditions(0, self.n).to(device)
        noise = Noise((derive(self.seed, "probe", i) for i in range(self.n)), device)
        with as_in_training(generator), torch.no_grad():
            return generator.sample(batch, noise)

    def _vectors(self, images: Tensor) -> np.ndarray:
        vectors = self.features(images)
        if isinstance(vectors, Tensor):
            vectors = vectors.detach().cpu().numpy()
        return np.asarray(vectors, np.float64).reshape(len(images), -1)


@contextmanager
def as_in_training(generator: nn.Module) -> Iterator[None]:
    """Set training mode, so that BatchNorm uses the batch; restore modes and buffers afterwards."""
    modes = [(module, module.training) for module in generator.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in generator.buffers()]
    generator.train()
    try:
        with torch.random.fork_rng(devices=[]):  # dropout draws random numbers
            yield
    finally:
        for module, training in modes:
            module.training = training
        for buffer, before in buffers:
            buffer.copy_(before)
