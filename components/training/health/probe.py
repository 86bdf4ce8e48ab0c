"""Diversity and drift of fixed-seed samples of a generator in training."""

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
        conditions: what the samples are made from.
        features: of images, in which samples are measured.
        real: images (N, C, H, W) in [-1, 1], of which at most `n` are what the diversity is relative to.
        n: samples; fewer where there are fewer images, since diversity depends on the number of images.
        seed: of the noise and of the choice among the images.
    """

    def __init__(
        self, conditions: FixedConditions, features: Features, real: Tensor, n: int = 128, seed: int = 0
    ):
        self.conditions, self.features, self.n, self.seed = conditions, features, min(n, len(real)), seed
        choice = torch.randperm(len(real), generator=torch.Generator().manual_seed(derive(seed, "real")))
        self.diversity = RelativeDiversity(self._vectors(real[choice[:n]]))
        self.last: Tensor | None = None  # (N, D) features of the samples at the last check

    def __call__(self, generator: Generator) -> dict[str, float]:
        """The diversity of the samples and, from the second check on, how far they moved since the last one.

        diversity: 1 is as diverse as the same number of images, near 0 all are alike.
        sample_drift: mean distance of a sample from itself at the last check over that of two images.
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
        """What the next check depends on."""
        return {} if self.last is None else {"last": self.last}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what `state` returned."""
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
    """The generator in training mode, so that BatchNorm uses the batch; afterwards nothing has changed."""
    modes = [(module, module.training) for module in generator.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in generator.buffers()]
    generator.train()
    try:
        with torch.random.fork_rng(devices=[]):  # dropout draws, too
            yield
    finally:
        for module, training in modes:
            module.training = training
        for buffer, before in buffers:
            buffer.copy_(before)
