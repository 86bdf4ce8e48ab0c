"""What steers a training is saved with its weights as plain values."""

from __future__ import annotations

import io

import torch

from components.records.health import HealthEvent, Treatment
from components.training.state import Control


def test_control_is_read_from_a_checkpoint_as_it_was_saved() -> None:
    treatment = Treatment(remedy="lower learning rates", change={"lr": 1e-4}, back_to=4, next_attempt=2)
    events = [HealthEvent(step=5, attempt=1, evidence={"auc": float("nan")}, treatment=treatment)]
    control = Control(step=7, attempt=2, healthy=(2, 4), events=events, curve=[{"step": 4, "kid": 0.5}])
    buffer = io.BytesIO()
    torch.save(control.state(), buffer)
    saved = torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)
    assert Control.load(saved) == control and control.treatments == [treatment]
