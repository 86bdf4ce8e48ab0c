"""The learning rate and the steps of snapshots, as functions of the step."""

from __future__ import annotations

import math

from components.config.train import Train


def learning_rate(schedule: str, step: int, steps: int, warmup_steps: int = 0) -> float:
    """The factor of the base learning rate at `step`, from 0.

    A pure function, so there is no scheduler to save.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    left = 1 - (step - warmup_steps) / max(1, steps - warmup_steps)
    return {
        "constant": 1.0,
        "linear": left,
        "cosine": 0.5 * (1 + math.cos(math.pi * (1 - left))),
        "sqrt": math.sqrt(left),
    }[schedule]


def grid_steps(settings: Train) -> set[int]:
    """The steps after which samples are drawn: evenly spaced, the last one among them."""
    return {round(settings.steps * (i + 1) / settings.num_snapshots) for i in range(settings.num_snapshots)}
