"""Diversity and drift of fixed-seed samples of a generator in training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from components.common.seeds import derive
from components.metrics.diversity import BANDWIDTH, pairwise, vendi_score
from components.sampling.conditions import FixedConditions
from models.family import Generator, Noise

Features = Callable[[Tensor], "np.ndarray | Tensor"]
"""From images (N, C, H, W) in [-1, 1] to feature vectors (N, D)."""


class Probe:
    """Fixed-seed samples of a generator in training, measured in feature space.

    Args:
        conditions: what the samples are made from.
        features: what the measures look at.
        real: images (N, C, H, W) in [-1, 1], of which at most `n` say how diverse samples should be.
        n: samples; fewer where there are fewer images, since diversity depends on how many are looked at.
        seed: of the noise and of the choice among the images.
    """

    def __init__(
        self, conditions: FixedConditions, features: Features, real: Tensor, n: int = 128, seed: int = 0
    ):
        self.conditions, self.features, self.n, self.seed = conditions, features, min(n, len(real)), seed
        choice = torch.randperm(len(real), generator=torch.Generator().manual_seed(derive(seed, "real")))
        distances = pairwise(self._vectors(real[choice[:n]]))  # (N, N)
        between = distances[np.triu_indices(len(distances), 1)]
        self.spread = float(between.mean())
        self.bandwidth = BANDWIDTH * float(np.median(between))
        self.real_diversity = vendi_score(distances, self.bandwidth)
        self.last: Tensor | None = None  # (N, D) features of the samples at the last look

    def __call__(self, generator: Generator) -> dict[str, float]:
        """How diverse the samples are and, from the second look on, how far they moved since the last one.

        diversity: 1 as diverse as as many images, near 0 all alike.
        movement: mean distance of a sample from itself at the last look, over that of two images; 0 is still.
        """
        vectors = self._vectors(self._sample(generator))
        last, self.last = self.last, torch.from_numpy(vectors)
        if not np.isfinite(vectors).all():
            return {"diversity": math.nan}
        found = {"diversity": vendi_score(pairwise(vectors), self.bandwidth) / self.real_diversity}
        if last is not None:
            moved = np.linalg.norm(vectors - last.numpy(), axis=1).mean()
            found["movement"] = float(moved) / self.spread
        return found

    def state(self) -> dict[str, Tensor]:
        """What the next look depends on."""
        return {} if self.last is None else {"last": self.last}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""
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
