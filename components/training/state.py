"""What steers a training besides its weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Control:
    """What steers a run across steps besides weights; saved with them."""

    step: int = 0
    attempt: int = 1  # raised when training goes back to an earlier step; it enters the seeds
    seconds: float = 0.0  # of training, over all interruptions
    best_score: float = math.inf  # lower is better
    best_step: int = 0  # 0: nothing selects
    bad_validations: int = 0
    stopped: bool = False
    healthy: tuple[int, int] | None = None  # attempt and step of the last checkpoint without any complaint
    events: list[dict[str, Any]] = field(default_factory=list)  # diagnoses
    treatments: list[dict[str, Any]] = field(default_factory=list)  # what was done about them
    changes: dict[str, Any] = field(default_factory=dict)  # settings of the family that treatments changed
    curve: list[dict[str, float]] = field(default_factory=list)  # step and quality of every judged snapshot


@dataclass
class Trained:
    """What training leaves besides its weights, which Trainer.weights gives."""

    control: Control
    images: int
    finished: bool  # rather than stopped for now
    terms: dict[str, float] = field(default_factory=dict)
