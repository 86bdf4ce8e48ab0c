"""Records of the health monitor on a training: how it checks, and its diagnoses."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from components.records.base import Record

Setting = str | int | float | bool | None

Band = Annotated[list[float], Field(min_length=2, max_length=2)]
"""The lowest and the highest value that are healthy in the literature."""


def expressible(value: Any) -> Any:
    """A value as JSON can express it: `nan` and `inf` are words."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


Evidence = Annotated[float | str, BeforeValidator(expressible)]


class Treatment(Record):
    """A change of settings that answers a diagnosis, and the step that training went back to."""

    remedy: str = ""
    paper: str = ""
    change: dict[str, Setting] = {}
    back_to: int | None = None
    carried: dict[str, str] = {}  # network: whether its weights carry over
    next_attempt: int | None = None


class HealthEvent(Record):
    """A diagnosis, what it rests on, and what was done about it."""

    step: int
    attempt: int
    disease: str = ""
    title: str = ""
    sentence: str = ""
    evidence: dict[str, Evidence] = {}
    action: str = ""  # observed | stopped | treated
    picture: str | None = None  # in the folder of the training's attempt
    treatment: Treatment | None = None


class Monitoring(Record):
    """The settings by which a training is monitored: health/watch.json."""

    policy: str = ""
    every: int | None = None  # steps between two checks
    bands: dict[str, Band] = {}  # by column of the metrics log


class TrainingHealth(Monitoring):
    """The monitoring of a finished training, and its diagnoses."""

    events: list[HealthEvent] = []
