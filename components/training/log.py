"""The interface of the training loop's log, and a log that does nothing."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from components.records.health import HealthEvent, Monitoring
from components.training import checkpoint
from components.training.checkpoint import CheckpointId
from components.training.health.probe import Probe
from components.training.state import State, Trained
from components.training.throughput import Throughput
from components.training.trainer import Trainer
from models.family import Terms


class Log:
    """The base of all logs, which stores nothing and returns empty values."""

    probe: Probe | None = None  # measures the diversity of samples; None if it is not measured
    throughput: Throughput | None = None  # of the batches, for reports of progress

    @property
    def failure(self) -> str | None:
        """Why what was logged could not be stored, as one sentence; None if it was, or still waits."""
        return None

    def resume_at(self, step: int, attempt: int) -> None:
        """Expect the next row after `step` of an attempt at training."""

    def row(self, step: int, values: dict[str, float]) -> None:
        """Add a row of metrics."""

    def grid(self, step: int, generator: nn.Module) -> None:
        """Draw the fixed-seed samples of this step."""

    def judge(self, step: int, generator: nn.Module) -> dict[str, float]:
        """Return the metrics of other fixed-seed samples on validation; empty without an evaluator."""
        return {}

    def watch(self, monitoring: Monitoring) -> None:
        """Record the policy, interval and bands of health monitoring."""

    def event(self, event: HealthEvent, generator: nn.Module) -> None:
        """Record a diagnosis with the fixed-seed samples at its step."""

    def load(self, checkpoint_id: CheckpointId) -> State | None:
        """Return the state of a checkpoint; used in the first process only."""
        return None

    def flush(self) -> None:
        """Wait until all is stored, or the process is interrupted."""

    def go_back(self, step: int, attempt: int) -> None:
        """Begin a later attempt after `step` steps."""

    def save_tracks(self, checkpoint_id: CheckpointId, snapshot: Terms) -> None:
        """Store a snapshot of the averages from which EMAs of other lengths are made."""

    def stored_tracks(self, checkpoint_ids: Sequence[CheckpointId]) -> list[CheckpointId]:
        """Return those whose snapshot is stored."""
        return []

    def load_tracks(self, checkpoint_id: CheckpointId) -> Terms:
        """Return a stored snapshot."""
        return {}

    def save(self, step: int, state: State) -> str:
        """Store a checkpoint and all rows so far; return its name."""
        return checkpoint.name(step, state["control"]["attempt"])

    def progress(self, step: int, values: dict[str, float]) -> None:
        """Report the progress of the run; called at every step, so it must be cheap."""

    def finish(self, trainer: Trainer, trained: Trained) -> None:
        """Wait until all is stored and write the result of a finished training."""


class NullLog(Log):
    """The log of all processes but the first, which share the first one's values through the group."""
