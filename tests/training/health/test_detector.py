"""The doctor: what it says about made-up vitals, and what the probe sees in made-up generators."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from components.training.health.detector import TITLES, AnomalyDetector, Diagnosis
from components.training.health.rules import GONE, RULES, WARM_UP

WELL = {
    "D(x)": 0.56,
    "D(G(z))": 0.44,
    "auc": 0.75,
    "discriminator_loss": 0.6,
    "generator_loss": 0.9,
    "discriminator_grad_norm": 0.5,
    "generator_grad_norm": 1.0,
    "discriminator_weight_norm": 10.0,
    "generator_weight_norm": 9.0,
    "diversity": 1.0,
    "sample_drift": 0.1,
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
    changes: Changes, looks: int = 60, doctor: AnomalyDetector | None = None, start: int = 0
) -> list[Diagnosis]:
    doctor = doctor or AnomalyDetector()
    diagnoses = [doctor.examine(50 * (i + 1), vitals(i, changes)) for i in range(start, start + looks)]
    return [diagnosis for diagnosis in diagnoses if diagnosis]


def fading(look: int) -> Mapping[str, float]:
    return {"auc": 1.0, "generator_grad_norm": 2.0 * 0.7**look}


def leaping(look: int) -> Mapping[str, float]:
    thrown = {"discriminator_weight_norm": 20.0} if look >= 30 else {}
    return thrown | ({"discriminator_loss": 15.0} if look == 30 else {})


SICK: dict[str, tuple[str, Changes]] = {
    "all samples alike, always another one": (
        "mode_collapse",
        lambda i: {"diversity": 0.1, "sample_drift": 1.0},
    ),
    "half of the modes, for good": ("mode_collapse", lambda i: {"diversity": 0.5, "sample_drift": 0.03}),
    "few modes, for long": ("mode_collapse", lambda i: {"diversity": 0.5, "sample_drift": 0.9}),
    "D is sure and G has no gradient": ("vanishing_gradients", fading),
    "D is mistaken": ("generator_too_strong", lambda i: {"auc": 0.3, "discriminator_loss": 1.2}),
    "D wins and loses in turn": (
        "oscillation",
        lambda i: {"auc": 0.7 + 0.2 * math.sin(2 * i), "sample_drift": 0.8},
    ),
    "weights run off": ("divergence", lambda i: {"generator_weight_norm": 9.0 * 1.2**i}),
    "losses run off": ("divergence", lambda i: {"generator_loss": 1.5**i}),
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
    doctor = AnomalyDetector()
    diagnosis = doctor.examine(50, vitals(0, lambda i: {vital: value}))
    assert (
        diagnosis
        and diagnosis.disease == "non_finite"
        and set(diagnosis.evidence) == {vital}
        and vital in diagnosis.sentence
    )
    assert not follow(lambda i: {vital: value}, 30, doctor, start=1) and not doctor.healthy


def test_a_disease_is_told_again_after_it_was_gone() -> None:
    doctor = AnomalyDetector()
    narrow: Changes = lambda i: {"diversity": 0.4, "sample_drift": 0.02}  # noqa: E731
    assert len(follow(narrow, 40, doctor)) == 1
    assert not follow(nothing, GONE // 2, doctor) and not follow(narrow, 40, doctor)
    assert not follow(nothing, 2 * GONE, doctor) and len(follow(narrow, 40, doctor)) == 1


def test_only_a_look_without_any_evidence_is_healthy() -> None:
    doctor = AnomalyDetector()
    assert not follow(nothing, WARM_UP, doctor) and not doctor.healthy  # too early to say
    follow(nothing, 10, doctor)
    assert doctor.healthy
    assert not follow(lambda i: {"diversity": 0.4, "sample_drift": 0.02}, 5, doctor) and not doctor.healthy


@pytest.mark.parametrize("cut", [3, 12, 29, 45])
@pytest.mark.parametrize("changes", [changes for _, changes in SICK.values()], ids=SICK)
def test_an_interrupted_doctor_says_the_same(changes: Changes, cut: int) -> None:
    first, second = AnomalyDetector(), AnomalyDetector()
    before = follow(changes, cut, first)
    second.load_state(reread(first.state()))
    assert before + follow(changes, 60 - cut, second, start=cut) == follow(changes, 60)
    assert second.state() == follow_state(changes)


def follow_state(changes: Changes) -> dict[str, Any]:
    doctor = AnomalyDetector()
    follow(changes, 60, doctor)
    return doctor.state()


def test_reset_forgets_everything() -> None:
    doctor = AnomalyDetector()
    follow(SICK["weights run off"][1], doctor=doctor)
    doctor.reset()
    assert doctor.state() == AnomalyDetector().state()


def reread(state: Mapping[str, Any]) -> dict[str, Any]:
    """As a checkpoint gives it back."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


# The probe.
