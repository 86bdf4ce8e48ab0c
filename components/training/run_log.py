"""Write the metrics, sample grids, checkpoints and progress of a training to its attempt's folder."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from components.common.errors import RunError
from components.evaluation.snapshot import SnapshotSelector
from components.records.health import HealthEvent, Monitoring
from components.records.stored import TrainingProgress
from components.sampling import sheets
from components.store import Store
from components.store.errors import outlasting
from components.store.uploader import Uploader
from components.training import checkpoint, posthoc_ema
from components.training.checkpoint import CheckpointId
from components.training.health.events import event_name
from components.training.health.probe import Probe
from components.training.log import Log
from components.training.request import KEEP
from components.training.state import State
from models.family import Terms

PROGRESS_SECONDS = 1.0  # between two updates of progress.json


class RunLog(Log):
    """The log of the first process.

    Objects in a store cannot be appended to, so metrics are written in parts named by their steps. A part
    ends at a checkpoint, so steps repeated after an interruption overwrite the same parts.
    """

    def __init__(
        self,
        attempt: Store,
        uploader: Uploader,
        draw: Callable[[nn.Module], np.ndarray],
        steps: int,
        selector: SnapshotSelector | None = None,
        keep: int = KEEP,
        probe: Probe | None = None,
        draw_backward: Callable[[nn.Module], np.ndarray] | None = None,  # of families that lead both ways
    ):
        self.probe, self.draw_backward = probe, draw_backward
        self.keep = keep
        self.attempt, self.uploader, self.draw, self.steps = attempt, uploader, draw, steps
        self.selector = selector
        self.rows: list[Mapping[str, Any]] = []
        self.first, self.number = 1, 1
        self._saved: list[CheckpointId] = []  # by this process
        self._progress_at = 0.0  # time of the last update

    @property
    def failure(self) -> str | None:
        """The first file that could not be stored, and why, as one sentence; None if there is none."""
        if not self.uploader.failed:
            return None
        name, reason = self.uploader.failed[0]
        advice = "" if "again" in reason else "; run the same command to resume"
        return f"{name} could not be stored: {reason}{advice}"

    def resume_at(self, step: int, attempt: int) -> None:
        """Start a new part after `step` of an attempt at training."""
        self.first, self.number = step + 1, attempt

    def row(self, step: int, values: dict[str, float]) -> None:
        """Add a row to the next part."""
        self.rows.append(
            {"step": step, "attempt": self.number}
            | {key: float(f"{value:.6g}") for key, value in values.items()}
        )

    def grid(self, step: int, generator: nn.Module) -> None:
        """Draw and store the fixed-seed grid of a step."""
        self.uploader.put(self.picture(generator), f"samples/step-{step:07d}.webp")
        if self.draw_backward:
            picture = sheets.encode_webp(sheets.grid(self.draw_backward(generator)))
            self.uploader.put(picture, f"samples/backward-{step:07d}.webp")

    def picture(self, generator: nn.Module) -> bytes:
        """Return the fixed-seed grid as lossless WebP, so that its pixels can be evaluated later."""
        return sheets.encode_webp(sheets.grid(self.draw(generator)))

    def judge(self, step: int, generator: nn.Module) -> dict[str, float]:
        """Return the metrics of other samples; empty without a selector."""
        return self.selector(generator) if self.selector else {}

    def watch(self, monitoring: Monitoring) -> None:
        """Store how the training is monitored, for the page of an unfinished run."""
        self.uploader.put(json.dumps(monitoring.to_json()).encode(), "health/watch.json")

    def event(self, event: HealthEvent, generator: nn.Module) -> None:
        """Store a diagnosis and the fixed-seed grid at its step."""
        if event.picture:
            self.uploader.put(self.picture(generator), event.picture)
        text = json.dumps(event.to_json(), allow_nan=False)
        self.uploader.put(text.encode(), f"{event_name(event.attempt, event.step)}.json")

    def load(self, checkpoint_id: CheckpointId) -> State:
        """Return the state of a checkpoint, once its upload is complete; wait out an outage.

        Raises:
            RunError: a file could not be stored.
        """
        self.uploader.flush()
        if self.failure:
            raise RunError(self.failure)
        return outlasting(lambda: checkpoint.load(self.attempt, checkpoint_id))

    def save_tracks(self, checkpoint_id: CheckpointId, snapshot: Terms) -> None:
        """Store a snapshot of the tracked averages."""
        self.uploader.put(posthoc_ema.encode(snapshot), posthoc_ema.name(checkpoint_id))

    def stored_tracks(self, checkpoint_ids: Sequence[CheckpointId]) -> list[CheckpointId]:
        """Return those whose snapshot exists; an upload may have failed, for example on a full disk."""
        self.uploader.flush()
        names = {saved: posthoc_ema.name(saved) for saved in checkpoint_ids}
        return [saved for saved, name in names.items() if outlasting(partial(self.attempt.exists, name))]

    def load_tracks(self, checkpoint_id: CheckpointId) -> Terms:
        """Return a stored snapshot of the tracked averages."""
        name = posthoc_ema.name(checkpoint_id)
        return posthoc_ema.decode(outlasting(lambda: self.attempt.read_bytes(name)))

    def go_back(self, step: int, attempt: int) -> None:
        """Store the rows of the attempt that ends now and begin the next one after `step`."""
        if self.rows:
            self._store_rows(self.rows[-1]["step"])
        self.resume_at(step, attempt)

    def flush(self) -> None:
        """Wait until all is stored or refused, or the process is interrupted."""
        self.uploader.flush()

    def save(self, step: int, state: State) -> str:
        """Store a checkpoint and the rows before it, delete unneeded checkpoints, and return its name."""
        control = state["control"]
        self._store_rows(step)
        name = checkpoint.name(step, control["attempt"])
        self.uploader.put(checkpoint.encode(state), name)
        self._saved.append((control["attempt"], step))
        self._drop_superseded(control["healthy"])
        healthy = control["healthy"]
        self.uploader.call(lambda: checkpoint.prune(self.attempt, self.keep, healthy=healthy), "prune")
        return name

    def _drop_superseded(self, healthy: CheckpointId | None) -> None:
        """Upload no checkpoint that would be deleted at once, so that an outage does not fill the memory."""
        for attempt, step in self._saved[: -self.keep]:
            if (attempt, step) != healthy:
                self.uploader.drop(checkpoint.name(step, attempt))
        self._saved = [saved for saved in self._saved if saved in (healthy, *self._saved[-self.keep :])]

    def _store_rows(self, step: int) -> None:
        lines = "".join(json.dumps(row) + "\n" for row in self.rows)
        name = f"metrics/part-{self.first:07d}-{step:07d}{checkpoint.suffix(self.number)}.jsonl"
        if step >= self.first:
            self.uploader.put(lines.encode(), name)
        self.rows, self.first = [], step + 1

    def progress(self, step: int, values: dict[str, float]) -> None:
        """Store the step and the latest values in progress.json, at most once a second."""
        now = time.monotonic()
        if now - self._progress_at >= PROGRESS_SECONDS or step == self.steps:
            self._progress_at = now
            progress = TrainingProgress(
                step=step,
                steps=self.steps,
                values=dict[str, float | None](values),
                time=time.time(),
                pid=os.getpid(),
                **(self.throughput.state() if self.throughput else {}),
            )
            self.uploader.put(json.dumps(progress.to_json()).encode(), "progress.json", optional=True)
