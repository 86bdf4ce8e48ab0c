"""What a training run leaves in its attempt's folder.

Metrics in parts, sample grids, checkpoints, its progress.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import nn

from components.evaluation.snapshot import SnapshotSelector
from components.records.health import HealthEvent, Monitoring
from components.sampling import sheets
from components.store import Store
from components.store.uploader import Uploader
from components.training import checkpoint, posthoc_ema
from components.training.health.events import event_name
from components.training.health.probe import Probe
from components.training.log import Log
from components.training.state import State
from models.family import Terms

PROGRESS_SECONDS = 1.0  # how often others can see a run move; costs one small file


class RunLog(Log):
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
        selector: SnapshotSelector | None = None,
        keep: int = checkpoint.KEEP,
        probe: Probe | None = None,
    ):
        self.probe = probe
        self.keep = keep
        self.attempt, self.uploader, self.draw, self.steps = attempt, uploader, draw, steps
        self.selector = selector
        self.rows: list[dict[str, Any]] = []
        self.first, self.number = 1, 1
        self._shown = 0.0

    def resume_at(self, step: int, attempt: int) -> None:
        """The next line belongs to a step after `step` of an attempt at training."""
        self.first, self.number = step + 1, attempt

    def row(self, step: int, values: dict[str, float]) -> None:
        """Keep a line for the next part."""
        self.rows.append(
            {"step": step, "attempt": self.number}
            | {key: float(f"{value:.6g}") for key, value in values.items()}
        )

    def grid(self, step: int, generator: nn.Module) -> None:
        """Draw the fixed-seed grid of a step."""
        self.uploader.put(self.picture(generator), f"samples/step-{step:07d}.webp")

    def picture(self, generator: nn.Module) -> bytes:
        """The fixed-seed grid as lossless WebP, tiles side by side: its pixels can be judged later."""
        return sheets.encode_webp(sheets.grid(self.draw(generator)))

    def judge(self, step: int, generator: nn.Module) -> dict[str, float]:
        """The quality of other samples of this step."""
        return self.selector(generator) if self.selector else {}

    def watch(self, how: Monitoring) -> None:
        """Store how the training is monitored, for the page of a run under way."""
        self.uploader.put(json.dumps(how.to_json()).encode(), "health/watch.json")

    def event(self, event: HealthEvent, generator: nn.Module) -> None:
        """Store a diagnosis, and the fixed-seed grid it is about."""
        if event.picture:
            self.uploader.put(self.picture(generator), event.picture)
        text = json.dumps(event.to_json(), allow_nan=False)
        self.uploader.put(text.encode(), f"{event_name(event.attempt, event.step)}.json")

    def load(self, moment: checkpoint.CheckpointId) -> State:
        """The state of a moment, as soon as it is in the store."""
        self.uploader.flush()
        return checkpoint.load(self.attempt, moment)

    def save_tracks(self, moment: checkpoint.CheckpointId, snapshot: Terms) -> None:
        """Store what averages of other lengths are made from."""
        self.uploader.put(posthoc_ema.encode(snapshot), posthoc_ema.name(moment))

    def stored_tracks(self, moments: Sequence[checkpoint.CheckpointId]) -> list[checkpoint.CheckpointId]:
        """Those of the moments of which a snapshot is there: a full disk may have kept one away."""
        self.uploader.flush()
        return [moment for moment in moments if self.attempt.exists(posthoc_ema.name(moment))]

    def load_tracks(self, moment: checkpoint.CheckpointId) -> Terms:
        """What was stored of a moment."""
        return posthoc_ema.decode(self.attempt.read_bytes(posthoc_ema.name(moment)))

    def go_back(self, step: int, attempt: int) -> None:
        """Store the lines of the attempt that ends here, and begin another after `step`."""
        if self.rows:
            self._store_lines(self.rows[-1]["step"])
        self.resume_at(step, attempt)

    def save(self, step: int, state: State) -> str:
        """Store the checkpoint and the lines that led to it, then drop checkpoints no longer needed."""
        control = state["control"]
        self._store_lines(step)
        name = checkpoint.name(step, control["attempt"])
        self.uploader.put(checkpoint.encode(state), name)
        checkpoint.prune(self.attempt, self.keep, healthy=control["healthy"])
        return name

    def _store_lines(self, step: int) -> None:
        lines = "".join(json.dumps(row) + "\n" for row in self.rows)
        name = f"metrics/part-{self.first:07d}-{step:07d}{checkpoint.suffix(self.number)}.jsonl"
        if step >= self.first:
            self.uploader.put(lines.encode(), name)
        self.rows, self.first = [], step + 1

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
