"""The doctor: what it says about made-up vitals, and what the probe sees in made-up generators."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from components.metrics.diversity import pairwise, vendi_score
from components.training.health.detector import TITLES, Diagnosis, Doctor
from components.training.health.probe import Probe
from components.training.health.rules import GONE, RULES, WARM_UP
from models.family import Batch, Card, Generator, Noise

WELL = {
    "D(x)": 0.56,
    "D(G(z))": 0.44,
    "auc": 0.75,
    "loss_d": 0.6,
    "loss_g": 0.9,
    "grad_d": 0.5,
    "grad_g": 1.0,
    "weights_d": 10.0,
    "weights_g": 9.0,
    "diversity": 1.0,
    "movement": 0.1,
}

Changes = Callable[[int], Mapping[str, float]]
"""From the number of a look, from 0, to the vitals that are not well."""


def nothing(look: int) -> Mapping[str, float]:
    return {}


def vitals(look: int, changes: Changes = nothing) -> dict[str, float]:
    """A healthy look with some noise, changed."""
    noise = np.random.default_rng(look)
    return {k: v * (1 + 0.03 * noise.normal()) for k, v in WELL.items()} | dict(changes(look))


def follow(
    changes: Changes, looks: int = 60, doctor: Doctor | None = None, start: int = 0
) -> list[Diagnosis]:
    doctor = doctor or Doctor()
    said = [doctor.examine(50 * (i + 1), vitals(i, changes)) for i in range(start, start + looks)]
    return [diagnosis for diagnosis in said if diagnosis]


def fading(look: int) -> Mapping[str, float]:
    return {"auc": 1.0, "grad_g": 2.0 * 0.7**look}


def leaping(look: int) -> Mapping[str, float]:
    thrown = {"weights_d": 20.0} if look >= 30 else {}
    return thrown | ({"loss_d": 15.0} if look == 30 else {})


SICK: dict[str, tuple[str, Changes]] = {
    "all samples alike, always another one": ("mode_collapse", lambda i: {"diversity": 0.1, "movement": 1.0}),
    "half of the modes, for good": ("mode_collapse", lambda i: {"diversity": 0.5, "movement": 0.03}),
    "few modes, for long": ("mode_collapse", lambda i: {"diversity": 0.5, "movement": 0.9}),
    "D is sure and G has no gradient": ("vanishing_gradients", fading),
    "D is mistaken": ("generator_too_strong", lambda i: {"auc": 0.3, "loss_d": 1.2}),
    "D wins and loses in turn": (
        "oscillation",
        lambda i: {"auc": 0.7 + 0.2 * math.sin(2 * i), "movement": 0.8},
    ),
    "weights run off": ("divergence", lambda i: {"weights_g": 9.0 * 1.2**i}),
    "losses run off": ("divergence", lambda i: {"loss_g": 1.5**i}),
    "D leaps away": ("divergence", leaping),
}


@pytest.mark.parametrize(("disease", "changes"), SICK.values(), ids=SICK)
def test_a_disease_is_named_once(disease: str, changes: Changes) -> None:
    (diagnosis,) = follow(changes)
    assert diagnosis.disease == disease and diagnosis.step > 50 * WARM_UP
    assert diagnosis.sentence.endswith(".") and "nan" not in diagnosis.sentence
    assert diagnosis.evidence and all(math.isfinite(v) for v in diagnosis.evidence.values())


def test_every_rule_has_a_title_and_a_disease_of_its_own_here() -> None:
    assert {rule.disease for rule in RULES} == set(TITLES) == {d for d, _ in SICK.values()} | {"non_finite"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("vital", WELL)
def test_a_number_that_is_none_is_told_at_once(vital: str, value: float) -> None:
    doctor = Doctor()
    said = doctor.examine(50, vitals(0, lambda i: {vital: value}))
    assert said and said.disease == "non_finite" and set(said.evidence) == {vital} and vital in said.sentence
    assert not follow(lambda i: {vital: value}, 30, doctor, start=1) and not doctor.healthy


HARMLESS: dict[str, Changes] = {
    "well": nothing,
    "outside of the textbook's bands": lambda i: {
        "D(x)": 0.95,
        "D(G(z))": 0.05,
        "loss_d": 0.1,
        "loss_g": 4.0,
    },
    "a sure D that teaches": lambda i: {"auc": 0.999, "loss_d": 0.05},
    "a gradient that fades as the game ends": lambda i: {"auc": 0.5, "grad_g": 0.9**i},
    "one look among many": lambda i: {"diversity": 0.1, "auc": 0.2, "loss_g": 1e4} if i % 12 == 0 else {},
    "a slow beginning": lambda i: {"diversity": min(1, 0.05 * i), "movement": 1.5 if i < 25 else 0.1},
    "D's advantage grows": lambda i: {"auc": min(0.99, 0.5 + 0.015 * i)},
    "weights grow": lambda i: {"weights_d": 10.0 + i, "weights_g": 9.0 + i},
    "D's loss leaps and nothing stays of it": lambda i: {"loss_d": 15.0} if i == 30 else {},
    "D's advantage rises at once": lambda i: {"auc": 0.55 if i < 30 else 0.9},
    "restless and diverse": lambda i: {"movement": 1.2},
}


@pytest.mark.parametrize("changes", HARMLESS.values(), ids=HARMLESS)
def test_evidence_that_does_not_last_is_none(changes: Changes) -> None:
    doctor = Doctor()
    assert not follow(changes, doctor=doctor) and doctor.healthy


def test_a_family_with_few_vitals_is_left_alone() -> None:
    doctor = Doctor()
    assert not any(doctor.examine(i, {"loss_g": 1 / (1 + i)}) for i in range(60))
    assert not any(Doctor().examine(i, {}) for i in range(60))


def test_without_a_probe_what_needs_none_is_still_seen() -> None:
    doctor = Doctor()
    looks = (
        {k: v for k, v in vitals(i, leaping).items() if k not in ("diversity", "movement")} for i in range(60)
    )
    assert [d.disease for i, look in enumerate(looks) if (d := doctor.examine(i, look))] == ["divergence"]


def test_a_disease_is_told_again_after_it_was_gone() -> None:
    doctor = Doctor()
    narrow: Changes = lambda i: {"diversity": 0.4, "movement": 0.02}  # noqa: E731
    assert len(follow(narrow, 40, doctor)) == 1
    assert not follow(nothing, GONE // 2, doctor) and not follow(narrow, 40, doctor)
    assert not follow(nothing, 2 * GONE, doctor) and len(follow(narrow, 40, doctor)) == 1


def test_only_a_look_without_any_evidence_is_healthy() -> None:
    doctor = Doctor()
    assert not follow(nothing, WARM_UP, doctor) and not doctor.healthy  # too early to say
    follow(nothing, 10, doctor)
    assert doctor.healthy
    assert not follow(lambda i: {"diversity": 0.4, "movement": 0.02}, 5, doctor) and not doctor.healthy


@pytest.mark.parametrize("cut", [3, 12, 29, 45])
@pytest.mark.parametrize("changes", [changes for _, changes in SICK.values()], ids=SICK)
def test_an_interrupted_doctor_says_the_same(changes: Changes, cut: int) -> None:
    first, second = Doctor(), Doctor()
    before = follow(changes, cut, first)
    second.load_state(reread(first.state()))
    assert before + follow(changes, 60 - cut, second, start=cut) == follow(changes, 60)
    assert second.state() == follow_state(changes)


def follow_state(changes: Changes) -> dict[str, Any]:
    doctor = Doctor()
    follow(changes, 60, doctor)
    return doctor.state()


def test_reset_forgets_everything() -> None:
    doctor = Doctor()
    follow(SICK["weights run off"][1], doctor=doctor)
    doctor.reset()
    assert doctor.state() == Doctor().state()


def reread(state: Mapping[str, Any]) -> dict[str, Any]:
    """As a checkpoint gives it back."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


# The probe.


def test_vendi_score_of_like_and_unlike_things() -> None:
    """K copies each of N points far apart are N things: the eigenvalues of K / N are N times 1 / N."""
    points = np.repeat(np.eye(5) * 100, 4, axis=0)
    assert vendi_score(pairwise(points), 1.0) == pytest.approx(5)
    assert vendi_score(pairwise(points[:4]), 1.0) == pytest.approx(1)
    two = np.array([[0.0], [1.0]])  # eigenvalues (1 +- e^-1/2) / 2
    p, q = (1 + math.exp(-0.5)) / 2, (1 - math.exp(-0.5)) / 2
    assert vendi_score(pairwise(two), 1.0) == pytest.approx(math.exp(-p * math.log(p) - q * math.log(q)))


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
    return Probe(Card(centres.shape[1], 1), lambda x: x.flatten(1), real, n=128, seed=seed)


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
    assert "movement" not in probe(Modes(centres, std))
    assert probe(Modes(centres, std))["movement"] == 0
    moved = probe(Modes(centres + torch.tensor([shift, 0.0]), std))["movement"]
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
    probe = Probe(Card(2, 1, num_classes=3), lambda x: x.flatten(1).numpy(), torch.randn(64, 2, 1, 1), n=8)
    random = torch.get_rng_state()
    probe(generator)
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(before[k], v) for k, v in generator.state_dict().items())
    assert [m.training for m in generator.layers] == [False, training, training]
    ((trained, label),) = generator.seen
    assert trained and label is not None and label.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert all(p.grad is None for p in generator.parameters())


def test_as_many_samples_are_looked_at_as_images() -> None:
    """Of 30 images no 128 samples are as diverse as; the same images again are exactly as diverse."""
    real = torch.randn(30, 2, 1, 1)
    probe = Probe(Card(2, 1), lambda x: x.flatten(1), real)
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
