"""Write, read and delete checkpoints: one file each, written atomically.

A checkpoint holds the state on which the next step depends, for every shard, so that a resumed run equals an
uninterrupted one bit for bit. Values that are functions of (seed, attempt, step, shard) are recomputed.
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
KEEP = 2  # the newest may be unreadable after a crash of the machine

log = logging.getLogger(__name__)


CheckpointId = tuple[int, int]
"""Attempt and step: a later attempt starts from an earlier step."""


def name(step: int, attempt: int = 1) -> str:
    """Return the file name of the checkpoint after `step` steps of an attempt at training."""
    return f"checkpoints/step-{step:07d}{suffix(attempt)}.pt"


def suffix(attempt: int) -> str:
    """Return the suffix of file names of later attempts; empty for the first."""
    return f"-a{attempt}" if attempt > 1 else ""


def encode(state: Mapping[str, Any]) -> bytes:
    """Return the bytes of a checkpoint."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def decode(data: bytes, device: torch.device | str = "cpu") -> State:
    """Return the state in `data`, without running code from it."""
    return torch.load(io.BytesIO(data), map_location=device, weights_only=True)


def checkpoint_ids(folder: Store) -> list[CheckpointId]:
    """Return the ids of all checkpoints, the newest last."""
    matches = (NAME.search(child) for child in folder.list("checkpoints"))
    return sorted((int(match[2] or 1), int(match[1])) for match in matches if match)


def load(folder: Store, checkpoint_id: CheckpointId, device: torch.device | str = "cpu") -> State:
    """Load the state of a checkpoint."""
    attempt, step = checkpoint_id
    return decode(folder.read_bytes(name(step, attempt)), device)


def newest(folder: Store, device: torch.device | str = "cpu") -> State | None:
    """Load the newest readable checkpoint in an attempt's folder; return None if there is none."""
    for checkpoint_id in reversed(checkpoint_ids(folder)):
        try:
            return load(folder, checkpoint_id, device)
        except Exception as error:  # torch.load raises many kinds for a damaged file
            log.warning("checkpoint %s cannot be read (%s); trying the one before", checkpoint_id, error)
    return None


def prune(folder: Store, keep: int = KEEP, healthy: CheckpointId | None = None) -> None:
    """Delete all but the `keep` newest checkpoints and the healthy one, to which a treatment goes back."""
    for attempt, step in checkpoint_ids(folder)[:-keep]:
        if (attempt, step) != healthy:
            folder.delete(name(step, attempt))
