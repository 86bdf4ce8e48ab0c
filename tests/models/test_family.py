"""What a family promises the trainer."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from models.family import Phase


def test_a_phase_is_first_due_after_its_interval() -> None:
    phase = Phase("x", lambda batch: {}, torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1), every=5)
    assert [step for step in range(20) if phase.is_due(step)] == [4, 9, 14, 19]
    assert replace(phase, every=1).is_due(0)
