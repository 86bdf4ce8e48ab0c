"""What a training asks of its data, and whom it reports to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from models.family import Batch

Report = Callable[[int, dict[str, float], str | None], None]
"""Called on every process as often as on the others.

Report(step, metrics, name of a checkpoint just written).
"""


class Source(Protocol):
    """Where batches come from: position is a function of the step."""

    def at(self, step: int, shard: int = 0, shards: int = 1) -> Batch:
        """The part of step's batch that belongs to `shard`."""
