"""The interfaces of the data source and the progress report of a training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from models.family import Batch

Report = Callable[[int, dict[str, float], str | None], None]
"""report(step, metrics, name of the checkpoint just written), called equally often on every process."""

Leaving = Callable[[], bool]
"""Whether this process is to end soon, called equally often on every process."""


class Source(Protocol):
    """A source of batches whose position is a function of the step."""

    def at(self, step: int, shard: int = 0, shards: int = 1) -> Batch:
        """Return the part of the step's batch that belongs to `shard`."""
