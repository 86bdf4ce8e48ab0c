"""Evidence of the rules."""

from __future__ import annotations

import pytest

from components.training.health.detector import AnomalyDetector
from tests.training.health.test_detector import Changes, follow, leaping, nothing, vitals

HARMLESS: dict[str, Changes] = {
    "well": nothing,
    "outside of the textbook's bands": lambda i: {
        "D(x)": 0.95,
        "D(G(z))": 0.05,
        "discriminator_loss": 0.1,
        "generator_loss": 4.0,
    },
    "a sure D that teaches": lambda i: {"auc": 0.999, "discriminator_loss": 0.05},
    "a gradient that fades as the game ends": lambda i: {"auc": 0.5, "generator_grad_norm": 0.9**i},
    "one look among many": lambda i: (
        {"diversity": 0.1, "auc": 0.2, "generator_loss": 1e4} if i % 12 == 0 else {}
    ),
    "a slow beginning": lambda i: {"diversity": min(1, 0.05 * i), "sample_drift": 1.5 if i < 25 else 0.1},
    "D's advantage grows": lambda i: {"auc": min(0.99, 0.5 + 0.015 * i)},
    "weights grow": lambda i: {"discriminator_weight_norm": 10.0 + i, "generator_weight_norm": 9.0 + i},
    "D's loss leaps and nothing stays of it": lambda i: {"discriminator_loss": 15.0} if i == 30 else {},
    "D's advantage rises at once": lambda i: {"auc": 0.55 if i < 30 else 0.9},
    "restless and diverse": lambda i: {"sample_drift": 1.2},
}


@pytest.mark.parametrize("changes", HARMLESS.values(), ids=HARMLESS)
def test_evidence_that_does_not_last_is_none(changes: Changes) -> None:
    doctor = AnomalyDetector()
    assert not follow(changes, doctor=doctor) and doctor.healthy


def test_a_family_with_few_vitals_is_left_alone() -> None:
    doctor = AnomalyDetector()
    assert not any(doctor.examine(i, {"generator_loss": 1 / (1 + i)}) for i in range(60))
    assert not any(AnomalyDetector().examine(i, {}) for i in range(60))


def test_without_a_probe_what_needs_none_is_still_seen() -> None:
    doctor = AnomalyDetector()
    looks = (
        {k: v for k, v in vitals(i, leaping).items() if k not in ("diversity", "sample_drift")}
        for i in range(60)
    )
    assert [d.disease for i, look in enumerate(looks) if (d := doctor.examine(i, look))] == ["divergence"]
