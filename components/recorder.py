"""What a training run leaves in its attempt's folder.

Metrics in parts, sample grids, checkpoints, its progress.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from components import checkpoint, sampling
from components.selection import Selector
from components.storage import Store
from components.upload import Uploader

PROGRESS_SECONDS = 1.0  # how often others can see a run move; costs one small file


class Silent:
    """The log of every process but the first: it keeps nothing."""

    def row(self, step: int, values: dict[str, float]) -> None:
        """Nothing."""

    def grid(self, step: int, generator: nn.Module) -> None:
        """Nothing."""

    def judge(self, step: int, generator: nn.Module) -> dict[str, float]:
        """Nothing; all processes hear what the first one finds."""
        return {}

    def save(self, step: int, state: dict[str, Any]) -> str:
        """Nothing; the first process stores the state of all."""
        return checkpoint.name(step)

    def progress(self, step: int, values: dict[str, float]) -> None:
        """Nothing."""


class Recorder(Silent):
    """The log of the first process.

    Objects cannot be appended to, so metrics go out in parts named by their steps.
    A part ends where a checkpoint is made: what is replayed after an interruption overwrites the same parts.
    """

    def __init__(
        self,
        attempt: Store,
        uploader: Uploader,
        draw: Callable[[nn.Module], np.ndarray],
        steps: int,
        selector: Selector | None = None,
    ):
        self.attempt, self.uploader, self.draw, self.steps = attempt, uploader, draw, steps
        self.selector = selector
        self.rows: list[dict[str, Any]] = []
        self.first = 1
        self._shown = 0.0

    def resume_at(self, step: int) -> None:
        """The next line belongs to a step after `step`."""
        self.first = step + 1

    def row(self, step: int, values: dict[str, float]) -> None:
        """Keep a line for the next part."""
        self.rows.append({"step": step} | {key: float(f"{value:.6g}") for key, value in values.items()})

    def grid(self, step: int, generator: nn.Module) -> None:
        """Draw the fixed-seed grid of a step."""
        self.uploader.put(self.picture(generator), f"samples/step-{step:07d}.webp")

    def picture(self, generator: nn.Module) -> bytes:
        """The fixed-seed grid as lossless WebP, tiles side by side: its pixels can be judged later."""
        return sampling.encode_webp(sampling.grid(self.draw(generator)))

    def judge(self, step: int, generator: nn.Module) -> dict[str, float]:
        """The quality of other samples of this step."""
        return self.selector(generator) if self.selector else {}

    def save(self, step: int, state: dict[str, Any]) -> str:
        """Store the checkpoint and the lines that led to it, then drop checkpoints no longer needed."""
        lines = "".join(json.dumps(row) + "\n" for row in self.rows)
        self.uploader.put(lines.encode(), f"metrics/part-{self.first:07d}-{step:07d}.jsonl")
        self.uploader.put(checkpoint.encode(state), checkpoint.name(step))
        self.rows, self.first = [], step + 1
        checkpoint.prune(self.attempt)
        return checkpoint.name(step)

    def progress(self, step: int, values: dict[str, float]) -> None:
        """Leave a note of the step and the latest values, at most once a second."""
        now = time.monotonic()
        if now - self._shown >= PROGRESS_SECONDS or step == self.steps:
            self._shown = now
            note = {
                "step": step,
                "steps": self.steps,
                "values": values,
                "time": time.time(),
                "pid": os.getpid(),
            }
            self.uploader.put(json.dumps(note).encode(), "progress.json")
