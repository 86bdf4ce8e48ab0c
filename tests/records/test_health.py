"""Diagnoses as they are recorded."""

from __future__ import annotations

import math

from components.records.health import HealthEvent, Monitoring


def test_evidence_that_is_not_finite_is_in_words() -> None:
    event = HealthEvent(
        step=1,
        attempt=1,
        evidence={"discriminator_loss": math.nan, "generator_grad_norm": math.inf, "auc": 0.5},
    )
    assert event.to_json()["evidence"] == {
        "discriminator_loss": "nan",
        "generator_grad_norm": "inf",
        "auc": 0.5,
    }


def test_bands_that_are_no_pair_of_numbers_are_left_out() -> None:
    torn = Monitoring.read({"policy": "stop", "bands": {"a": [0, 1], "b": [1], "c": 3, "d": [0, "1"]}})
    assert torn == Monitoring(policy="stop", bands={"a": [0.0, 1.0]})
