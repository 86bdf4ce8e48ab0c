"""Settings that count steps or images of training: short trainings need them reduced."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

COUNTS_STEPS = "counts steps of training"

Steps = Annotated[int, COUNTS_STEPS]
"""The type of a setting that counts steps; a sweep's trials with fewer steps reduce it accordingly."""

Images = Annotated[int, COUNTS_STEPS]
"""The type of a setting that counts images of training; with fewer steps there are fewer images."""


def step_counts(config: type[BaseModel]) -> set[str]:
    """Return the names of a config's fields that count steps or images of training."""
    return {name for name, field in config.model_fields.items() if COUNTS_STEPS in field.metadata}
