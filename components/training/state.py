"""The state of a training besides its weights."""

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
    """Progress, selection and health of a training; saved with the weights."""

    step: int = 0
    attempt: int = 1  # incremented when training goes back to an earlier step; part of the seeds
    seconds: float = 0.0  # of training, without interruptions
    best_score: float = math.inf  # lower is better
    best_step: int = 0  # 0: none selected
    bad_validations: int = 0
    stopped: bool = False
    healthy: tuple[int, int] | None = None  # attempt and step of the last healthy checkpoint
    events: list[HealthEvent] = field(default_factory=list)  # diagnoses
    changes: dict[str, object] = field(default_factory=dict)  # settings of the family that treatments changed
    curve: list[Point] = field(default_factory=list)  # step and metrics of every evaluated snapshot

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> Control:
        """Return the control from the result of `state`."""
        return cls(**{**state, "events": [HealthEvent(**event) for event in state["events"]]})

    def state(self) -> Mapping[str, Any]:
        """Return plain values for a checkpoint."""
        return vars(self) | {"events": [event.to_json() for event in self.events]}

    @property
    def treatments(self) -> list[Treatment]:
        """The treatments of the diagnoses so far."""
        return [event.treatment for event in self.events if event.treatment]


class State(TypedDict):
    """The content of a checkpoint: the state of all processes on which the next step depends."""

    family: dict[str, Tensor]
    optimizers: list[dict[str, Any]]  # in the order of the family's
    ema: dict[str, Tensor]
    best: dict[str, Tensor] | None
    tracks: TracksState | None
    shards: dict[int, dict[str, Tensor]]  # buffers by micro-batch
    control: Mapping[str, Any]  # of Control.state
    health: HealthState


class TracksState(TypedDict):
    """The tracked averages from which EMAs of other lengths are made."""

    moments: list[tuple[int, int]]
    parameters: dict[str, Tensor]


class HealthState(TypedDict):
    """The state of the health monitor: its detector and probe."""

    doctor: Mapping[str, Any]
    probe: Mapping[str, Tensor]


@dataclass
class Trained:
    """The result of training, besides the weights, which `Trainer.weights` returns."""

    control: Control
    images: int
    finished: bool  # False: interrupted at `stop_at`
    terms: dict[str, float] = field(default_factory=dict)
