"""Evidence of the rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from components.training.health.detector import Diagnosis, Doctor

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


def leaping(look: int) -> Mapping[str, float]:
    thrown = {"weights_d": 20.0} if look >= 30 else {}
    return thrown | ({"loss_d": 15.0} if look == 30 else {})


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
