"""A checkpoint is one file, written whole: no step is ever half saved.

It holds all that the next step depends on, for every shard, so that a resumed run is the uninterrupted one
bit for bit; whatever is a function of (seed, attempt, step, shard) is recomputed instead.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Mapping
from typing import Any

import torch

from components.store import Store
from components.training.state import State

NAME = re.compile(r"step-(\d+)(?:-a(\d+))?\.pt$")
KEEP = 2  # the newest may be unreadable after a crash of the machine; the one before it is the way back

log = logging.getLogger(__name__)


CheckpointId = tuple[int, int]
"""Attempt and step: a later attempt starts from an earlier step."""


def name(step: int, attempt: int = 1) -> str:
    """File name of the checkpoint after `step` steps of an attempt at training."""
    return f"checkpoints/step-{step:07d}{suffix(attempt)}.pt"


def suffix(attempt: int) -> str:
    """What tells files of a later attempt from those of the first."""
    return f"-a{attempt}" if attempt > 1 else ""


def encode(state: Mapping[str, Any]) -> bytes:
    """The bytes of a checkpoint."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def decode(data: bytes, device: torch.device | str = "cpu") -> State:
    """The state in `data`; no code is run from it."""
    return torch.load(io.BytesIO(data), map_location=device, weights_only=True)


def checkpoint_ids(folder: Store) -> list[CheckpointId]:
    """The moments of which there is a checkpoint, the newest last."""
    found = (NAME.search(child) for child in folder.list("checkpoints"))
    return sorted((int(match[2] or 1), int(match[1])) for match in found if match)


def load(folder: Store, moment: CheckpointId, device: torch.device | str = "cpu") -> State:
    """The state of a moment."""
    attempt, step = moment
    return decode(folder.read_bytes(name(step, attempt)), device)


def newest(folder: Store, device: torch.device | str = "cpu") -> State | None:
    """The newest readable checkpoint in an attempt's folder, or None."""
    for moment in reversed(checkpoint_ids(folder)):
        try:
            return load(folder, moment, device)
        except Exception as error:  # torch.load raises many kinds for a damaged file
            log.warning("checkpoint %s cannot be read (%s); trying the one before", moment, error)
    return None


def prune(folder: Store, keep: int = KEEP, healthy: CheckpointId | None = None) -> None:
    """Delete all but the newest checkpoints and the one that a treatment would go back to."""
    for moment in checkpoint_ids(folder)[:-keep]:
        if moment != healthy:
            folder.delete(name(moment[1], moment[0]))
