"""Write, read and delete checkpoints: one file each, written atomically.

A checkpoint holds the state on which the next step depends, for every shard, so that a resumed run equals an
uninterrupted one bit for bit. Values that are functions of (seed, attempt, step, shard) are recomputed.
"""

from __future__ import annotations

import io
import logging
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import torch

from components.records.names import DAMAGED
from components.store import Store
from components.training.request import KEEP
from components.training.state import State

NAME = re.compile(r"step-(\d+)(?:-a(\d+))?\.pt$")

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
    """Load the newest checkpoint in an attempt's folder; return None if there is none.

    Damaged checkpoints are renamed on the way, so that later ones do not count them. A checkpoint that cannot
    be read just now raises the store's error.
    """
    for attempt, step in reversed(checkpoint_ids(folder)):
        path = name(step, attempt)
        try:
            data = folder.read_bytes(path)
        except FileNotFoundError:  # another process of this training has renamed it
            continue
        if is_intact(data):
            return decode(data, device)
        log.warning("%s is damaged and was renamed; trying the one before", path)
        folder.write_bytes(path + DAMAGED, data)
        folder.delete(path)
    return None


def is_intact(data: bytes) -> bool:
    """Return whether the contents of a checkpoint are those that were written, and torch can read it.

    Torch does not compare the contents with their checksums; zipfile is less strict about the directory.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if archive.testzip() is not None:
                return False
    except MemoryError:
        raise
    except Exception:  # zipfile raises many kinds for damaged bytes
        return False
    try:
        decode(data, "meta")  # reads no tensors
    except RuntimeError:
        return False
    return True


def prune(folder: Store, keep: int = KEEP, healthy: CheckpointId | None = None) -> None:
    """Delete all but the `keep` newest checkpoints and the healthy one, to which a treatment goes back."""
    for attempt, step in checkpoint_ids(folder)[:-keep]:
        if (attempt, step) != healthy:
            folder.delete(name(step, attempt))
