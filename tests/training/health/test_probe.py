"""What the probe measures of samples: diversity and movement."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from components.data.dataset import Split
from components.sampling.conditions import FixedConditions
from components.training.health.probe import Probe
from models.data_spec import DataSpec
from models.family import Batch, Generator, Noise
from tests.training.health.test_detector import reread


class Modes(Generator):
    """Some modes of a target, each as often as the others."""

    def __init__(self, centres: Tensor, std: float):
        super().__init__()
        self.centres, self.std = nn.Parameter(centres), std

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        which = (noise.uniform(1)[:, 0] * len(self.centres)).long()
        flat = self.centres[which] + self.std * noise(self.centres.shape[1])
        return flat[:, :, None, None]


def ring() -> tuple[Tensor, float]:
    angle = torch.arange(8) * (math.tau / 8)
    return 0.8 * torch.stack([angle.cos(), angle.sin()], 1), 0.008


def grid() -> tuple[Tensor, float]:
    side = torch.arange(-2.0, 3.0) * 0.4
    return torch.cartesian_prod(side, side), 0.01


def classes() -> tuple[Tensor, float]:
    """Ten classes in 64 dimensions, as wide as they are apart, as a classifier's features are."""
    return torch.randn(10, 64, generator=torch.Generator().manual_seed(0)), 0.6


def probe_of(centres: Tensor, std: float, seed: int = 0) -> Probe:
    real = Modes(centres, std).sample(Batch(512), Noise(range(1000, 1512))).detach()
    return Probe(
        FixedConditions(DataSpec(centres.shape[1], 1)), lambda x: x.flatten(1), real, n=128, seed=seed
    )


@pytest.mark.parametrize(
    ("target", "some", "most"), [(ring, 2, 0.4), (ring, 4, 0.65), (grid, 5, 0.45), (classes, 2, 0.7)]
)
def test_diversity_of_all_some_and_one_mode(
    target: Callable[[], tuple[Tensor, float]], some: int, most: float
) -> None:
    centres, std = target()
    probe = probe_of(centres, std)
    every, part, one = (probe(Modes(centres[:k], std))["diversity"] for k in (len(centres), some, 1))
    assert every == pytest.approx(1, abs=0.1)
    assert one < part < most
    assert probe(Modes(centres[:1], 0.0))["diversity"] < min(one, 0.16)


def test_noise_is_as_diverse_as_images_or_more() -> None:
    probe = probe_of(*grid())
    assert probe(Modes(torch.zeros(1, 2), 0.6))["diversity"] > 0.95


def test_movement_of_samples_that_stand_and_of_samples_that_move() -> None:
    centres, std = ring()
    probe, shift = probe_of(centres, std), 0.3
    assert "sample_drift" not in probe(Modes(centres, std))
    assert probe(Modes(centres, std))["sample_drift"] == 0
    moved = probe(Modes(centres + torch.tensor([shift, 0.0]), std))["sample_drift"]
    assert moved == pytest.approx(shift / probe.diversity.mean_distance, rel=1e-5)


def test_an_interrupted_probe_measures_the_same() -> None:
    centres, std = ring()
    first, second = probe_of(centres, std), probe_of(centres, std)
    second.load_state(reread(first.state()))
    first(Modes(centres, std))
    second.load_state(reread(first.state()))
    assert first(Modes(centres[:3], std)) == second(Modes(centres[:3], std))


def test_samples_that_are_not_finite_are_no_error() -> None:
    probe = probe_of(*ring())
    assert math.isnan(probe(Modes(torch.full((1, 2), math.nan), 0.0))["diversity"])


class Normed(Generator):
    """A generator with BatchNorm, dropout and labels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2), nn.Dropout(0.2))
        self.seen: list[tuple[bool, Tensor | None]] = []

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        self.seen.append((self.layers[1].training, batch.label))
        return self.layers(noise(4))[:, :, None, None]


@pytest.mark.parametrize("training", [True, False])
def test_the_probe_leaves_no_trace(training: bool) -> None:
    """It samples as in training; buffers, modes and the random state are afterwards as before."""
    generator = Normed().train(training)
    generator.layers[0].eval()
    before = {k: v.clone() for k, v in generator.state_dict().items()}
    probe = Probe(
        FixedConditions(DataSpec(2, 1, num_classes=3)),
        lambda x: x.flatten(1).numpy(),
        torch.randn(64, 2, 1, 1),
        n=8,
    )
    random = torch.get_rng_state()
    probe(generator)
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(before[k], v) for k, v in generator.state_dict().items())
    assert [m.training for m in generator.layers] == [False, training, training]
    ((trained, label),) = generator.seen
    assert trained and label is not None and label.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert all(p.grad is None for p in generator.parameters())


class OfClass(Generator):
    """Return a real image of the class asked for."""

    def __init__(self, real: Tensor, labels: np.ndarray) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.real = [real[labels == label] for label in range(2)]

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        assert batch.label is not None
        rows = (noise.uniform(1)[:, 0] * 1e6).long()
        return torch.stack(
            [self.real[y][row % len(self.real[y])] for y, row in zip(batch.label, rows, strict=True)]
        )


@pytest.mark.parametrize("narrow", [0, 1])
def test_samples_of_rare_classes_are_as_rare_as_images(narrow: int) -> None:
    labels = np.arange(1000) % 10 // 9  # 90 % and 10 %
    spread = torch.where(torch.from_numpy(labels == narrow), 0.3, 1.0)[:, None, None, None]
    real = spread * torch.randn(1000, 2, 1, 1, generator=torch.Generator().manual_seed(0))
    split = Split(real.numpy(), labels)
    fixed = FixedConditions(DataSpec(2, 1, num_classes=2), split)
    probe = Probe(fixed, lambda x: x.flatten(1), real, n=400)
    assert probe(OfClass(real, labels))["diversity"] == pytest.approx(1, abs=0.15)


def test_as_many_samples_are_looked_at_as_images() -> None:
    """Of 30 images no 128 samples are as diverse as; the same images again are exactly as diverse."""
    real = torch.randn(30, 2, 1, 1)
    probe = Probe(FixedConditions(DataSpec(2, 1)), lambda x: x.flatten(1), real)
    assert probe.n == 30
    again = Fixed(real)
    assert probe(again)["diversity"] == pytest.approx(1)


class Fixed(Generator):
    """Always the same samples, as many as are asked for."""

    def __init__(self, images: torch.Tensor):
        super().__init__()
        self.images = torch.nn.Parameter(images)

    def sample(self, batch: Batch, noise: Noise) -> torch.Tensor:
        return self.images.repeat(len(batch) // len(self.images) + 1, 1, 1, 1)[: len(batch)]


def test_probes_of_one_seed_agree() -> None:
    centres, std = ring()
    values = [probe_of(centres, std, seed)(Modes(centres, std))["diversity"] for seed in (1, 1, 2)]
    assert values[0] == values[1] != values[2]
