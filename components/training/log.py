"""What the training loop asks of a log, and the log that keeps nothing."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from components.records.health import HealthEvent, Monitoring
from components.training import checkpoint
from components.training.checkpoint import CheckpointId
from components.training.health.probe import Probe
from components.training.state import State, Trained
from components.training.trainer import Trainer
from models.family import Terms


class Log:
    """Where a training writes. This is the base of all logs: it answers every question and keeps nothing."""

    probe: Probe | None = None  # measures the diversity of samples, where something does

    def resume_at(self, step: int, attempt: int) -> None:
        """The next line belongs to a step after `step` of an attempt at training."""

    def row(self, step: int, values: dict[str, float]) -> None:
        """Add a line of metrics."""

    def grid(self, step: int, generator: nn.Module) -> None:
        """Draw the fixed-seed samples of this step."""

    def judge(self, step: int, generator: nn.Module) -> dict[str, float]:
        """Quality of other fixed-seed samples of this step, on validation; empty where nothing judges."""
        return {}

    def watch(self, how: Monitoring) -> None:
        """Say under which policy, how often and with which bands a doctor looks."""

    def event(self, event: HealthEvent, generator: nn.Module) -> None:
        """Keep a diagnosis, with the fixed-seed samples it is about."""

    def load(self, moment: CheckpointId) -> State | None:
        """The state saved at an (attempt, step); needed of the first process only."""
        return None

    def go_back(self, step: int, attempt: int) -> None:
        """What follows belongs to a later attempt, which starts after `step` steps."""

    def save_tracks(self, moment: CheckpointId, snapshot: Terms) -> None:
        """Store what averages of other lengths are made from."""

    def stored_tracks(self, moments: Sequence[CheckpointId]) -> list[CheckpointId]:
        """Those of the moments of which such a snapshot is there."""
        return []

    def load_tracks(self, moment: CheckpointId) -> Terms:
        """What was stored of an (attempt, step)."""
        return {}

    def save(self, step: int, state: State) -> str:
        """Store a checkpoint and all lines so far; returns its name."""
        return checkpoint.name(step, state["control"]["attempt"])

    def progress(self, step: int, values: dict[str, float]) -> None:
        """Say where the run is; called every step, and cheap."""

    def finish(self, trainer: Trainer, trained: Trained) -> None:
        """Write the result of a training that is finished, once all else is stored."""


class NullLog(Log):
    """The log of every process but the first, which hear from it what was measured, saved and read."""
