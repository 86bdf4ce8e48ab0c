"""The learning rate and the steps of snapshots, as functions of the step."""

from __future__ import annotations

import math

from components.config.train import Train


def learning_rate(schedule: str, step: int, steps: int, warmup_steps: int = 0) -> float:
    """Return the factor of the base learning rate at `step`, counted from 0.

    A pure function, so there is no scheduler state to save.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    remaining = 1 - (step - warmup_steps) / max(1, steps - warmup_steps)
    return {
        "constant": 1.0,
        "linear": remaining,
        "constant_linear": min(1.0, 2 * remaining),
        "cosine": 0.5 * (1 + math.cos(math.pi * (1 - remaining))),
        "sqrt": math.sqrt(remaining),
    }[schedule]


def grid_steps(settings: Train) -> set[int]:
    """Return the steps after which snapshots are drawn: evenly spaced, including the last step."""
    return {round(settings.steps * (i + 1) / settings.num_snapshots) for i in range(settings.num_snapshots)}
