"""What steers a training besides its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from torch import Tensor

from components.records.health import HealthEvent, Treatment
from components.records.training import Point


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
    events: list[HealthEvent] = field(default_factory=list)  # diagnoses
    changes: dict[str, object] = field(default_factory=dict)  # settings of the family that treatments changed
    curve: list[Point] = field(default_factory=list)  # step and quality of every judged snapshot

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> Control:
        """The control that `state` describes."""
        return cls(**{**state, "events": [HealthEvent(**event) for event in state["events"]]})

    def state(self) -> Mapping[str, Any]:
        """Plain values, for a checkpoint."""
        return vars(self) | {"events": [event.to_json() for event in self.events]}

    @property
    def treatments(self) -> list[Treatment]:
        """What was done about the diagnoses."""
        return [event.treatment for event in self.events if event.treatment]


class State(TypedDict):
    """All that the next step depends on, of every process: the content of a checkpoint."""

    family: dict[str, Tensor]
    optimizers: list[dict[str, Any]]  # in the order of the family's
    ema: dict[str, Tensor]
    best: dict[str, Tensor] | None
    tracks: TracksState | None
    shards: dict[int, dict[str, Tensor]]  # buffers by micro-batch
    control: Mapping[str, Any]  # of Control.state
    health: HealthState


class TracksState(TypedDict):
    """The averages that are kept to make averages of other lengths from."""

    moments: list[tuple[int, int]]
    parameters: dict[str, Tensor]


class HealthState(TypedDict):
    """What the health monitor remembers."""

    doctor: Mapping[str, Any]
    probe: Mapping[str, Tensor]


@dataclass
class Trained:
    """What training leaves besides its weights, which Trainer.weights gives."""

    control: Control
    images: int
    finished: bool  # rather than stopped for now
    terms: dict[str, float] = field(default_factory=dict)
