"""Measure how fast a training takes images, how long it waits for them, and what its GPU does meanwhile."""

from __future__ import annotations

import subprocess
import time
from typing import Any

import torch

from components.training.protocols import Source
from models.family import Batch

GPU_SECONDS = 5.0  # between two looks at the GPU


class Throughput:
    """A source of batches that measures how long it takes to make them, and the GPU that uses them.

    `waited` is the sum of seconds of this process. The work on a GPU continues meanwhile, so waiting starves
    it only if it has nothing queued, which `utilisation` shows.
    """

    def __init__(self, source: Source, device: torch.device):
        self.source, self.device = source, device
        self.waited = 0.0
        self._gpu: dict[str, float] = {}
        self._query: subprocess.Popen[str] | None = None
        self._asked = 0.0

    def at(self, step: int, shard: int = 0, shards: int = 1) -> Batch:
        """Return the batch of the source."""
        began = time.perf_counter()
        batch = self.source.at(step, shard, shards)
        self.waited += time.perf_counter() - began
        return batch

    def state(self) -> dict[str, Any]:
        """Return the seconds waited; of a GPU also the memory in use in GB and the utilisation in percent."""
        state: dict[str, Any] = {"waited": round(self.waited, 3)}
        if self.device.type == "cuda":
            self._look()
            state["gpu"] = {"memory_gb": torch.cuda.max_memory_reserved(self.device) / 1e9} | self._gpu
        return state

    def _look(self) -> None:
        """Read the answer of nvidia-smi, if there is one, and ask again from time to time; never wait."""
        if self._query is not None and self._query.poll() is not None:
            output, _ = self._query.communicate()
            self._query = None
            if utilisation := utilisation_in(output):
                self._gpu = utilisation
        if self._query is None and time.monotonic() - self._asked > GPU_SECONDS:
            self._asked = time.monotonic()
            self._query = ask(f"GPU-{torch.cuda.get_device_properties(self.device).uuid}")


def ask(gpu: str) -> subprocess.Popen[str] | None:
    """Start a query of the utilisation of a GPU; None if nvidia-smi is not installed."""
    command = ["nvidia-smi", f"--id={gpu}", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        return None


def utilisation_in(output: str) -> dict[str, float]:
    """Return the utilisation in an answer of nvidia-smi; empty if it has none."""
    try:
        return {"utilisation": float(output.strip())}
    except ValueError:
        return {}
