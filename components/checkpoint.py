"""A checkpoint is one file, written whole: no step is ever half saved.

It holds all that the next step depends on, for every shard, so that a resumed run is the uninterrupted one
bit for bit; whatever is a function of (seed, attempt, step, shard) is recomputed instead.
"""

from __future__ import annotations

import io
import logging
import re
from typing import Any

import torch

from components.storage import Store

STEP = re.compile(r"step-(\d+)\.pt$")
KEEP = 2  # the newest may be unreadable after a crash of the machine; the one before it is the way back

log = logging.getLogger(__name__)


def name(step: int) -> str:
    """File name of the checkpoint after `step` steps."""
    return f"checkpoints/step-{step:07d}.pt"


def encode(state: dict[str, Any]) -> bytes:
    """The bytes of a checkpoint."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def decode(data: bytes, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The state in `data`; no code is run from it."""
    return torch.load(io.BytesIO(data), map_location=device, weights_only=True)


def steps(attempt: Store) -> list[int]:
    """The steps of which `attempt` has a checkpoint, ascending."""
    found = (STEP.search(child) for child in attempt.list("checkpoints"))
    return sorted(int(match[1]) for match in found if match)


def newest(attempt: Store, device: torch.device | str = "cpu") -> dict[str, Any] | None:
    """The newest readable checkpoint of `attempt`, or None."""
    for step in reversed(steps(attempt)):
        try:
            return decode(attempt.read_bytes(name(step)), device)
        except Exception as error:  # torch.load raises many kinds for a damaged file
            log.warning("checkpoint of step %d cannot be read (%s); trying the one before", step, error)
    return None


def prune(attempt: Store, keep: int = KEEP) -> None:
    """Delete all but the newest checkpoints."""
    for step in steps(attempt)[:-keep]:
        attempt.delete(name(step))
