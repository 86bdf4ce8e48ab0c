"""What a training takes, waits for and uses."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from unittest import mock

import pytest
import torch

from components.training import throughput
from components.training.throughput import Throughput
from models.family import Batch


class Images:
    """A source whose batches are empty."""

    def at(self, step: int, shard: int = 0, shards: int = 1) -> Batch:
        return Batch(shards, torch.full((shards, 1, 1, 1), step + shard))


def test_batches_are_those_of_the_source_and_their_time_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1.0, 1.5, 4.0, 4.25])
    monkeypatch.setattr(throughput, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    measured = Throughput(Images(), torch.device("cpu"))
    batch = measured.at(3, 1, 2)
    assert batch.image is not None and batch.image.shape[0] == 2 and batch.image[0].item() == 4
    measured.at(4)
    assert measured.state() == {"waited": 0.75}, "on a CPU, nothing is said of a GPU"


def test_a_gpu_is_asked_without_waiting_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(gpu: str) -> subprocess.Popen[str]:
        asked.append(gpu)
        return subprocess.Popen([sys.executable, "-c", "print(' 37 ')"], stdout=subprocess.PIPE, text=True)

    monkeypatch.setattr(throughput, "ask", ask)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 2_000_000_000)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: mock.Mock(uuid="abc"))
    measured = Throughput(Images(), torch.device("cuda"))
    assert measured.state()["gpu"] == {"memory_gb": 2.0} and asked == ["GPU-abc"]
    assert measured._query is not None
    measured._query.wait()
    assert measured.state()["gpu"] == {"memory_gb": 2.0, "utilisation": 37.0}
    assert len(asked) == 1, "not at every step"


def test_a_machine_without_the_tool_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput.subprocess, "Popen", mock.Mock(side_effect=FileNotFoundError))
    assert throughput.ask("GPU-abc") is None
    assert throughput.utilisation_in("[N/A]") == {} and throughput.utilisation_in("5\n") == {
        "utilisation": 5.0
    }
