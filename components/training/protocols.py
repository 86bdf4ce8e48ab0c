"""What the training loop asks of its data and its log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import nn

from models.family import Batch, Terms

Report = Callable[[int, dict[str, float], str | None], None]
"""Called on every process as often as on the others.

Report(step, metrics, name of a checkpoint just written).
"""


class Source(Protocol):
    """Where batches come from: position is a function of the step."""

    def at(self, step: int, shard: int = 0, shards: int = 1) -> Batch:
        """The part of step's batch that belongs to `shard`."""


class Log(Protocol):
    """Where a run writes; only the first process has one that does."""

    def row(self, step: int, values: dict[str, float]) -> None:
        """Add a line of metrics."""

    def grid(self, step: int, generator: nn.Module) -> None:
        """Draw the fixed-seed samples of this step."""

    def event(self, found: dict[str, Any], generator: nn.Module) -> None:
        """Keep a diagnosis, with the fixed-seed samples it is about."""

    def load(self, moment: tuple[int, int]) -> dict[str, Any]:
        """The state saved at an (attempt, step); needed of the first process only."""

    def watch(self, how: dict[str, Any]) -> None:
        """Say under which policy, how often and with which bands a doctor looks."""

    def go_back(self, step: int, attempt: int) -> None:
        """What follows belongs to a later attempt, which starts after `step` steps."""

    def judge(self, step: int, generator: nn.Module) -> dict[str, float]:
        """Quality of other fixed-seed samples of this step, on validation; empty where nothing judges."""

    def save_tracks(self, moment: tuple[int, int], snapshot: Terms) -> None:
        """Store what averages of other lengths are made from."""

    def stored_tracks(self, moments: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those of the moments of which such a snapshot is there."""

    def load_tracks(self, moment: tuple[int, int]) -> Terms:
        """What was stored of an (attempt, step)."""

    def save(self, step: int, state: dict[str, Any]) -> str:
        """Store a checkpoint and all lines so far; returns its name."""

    def progress(self, step: int, values: dict[str, float]) -> None:
        """Say where the run is; called every step, and cheap."""
