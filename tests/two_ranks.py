"""Trainings on two processes, which start once for all files of tests that a process of pytest runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from components.common.loopback import free_port
from components.config.train import Train
from components.training.distributed import Group
from components.training.loop import train
from components.training.trainer import Trainer
from models.data_spec import DataSpec
from tests import tiny
from tests.s3 import die_with_parent

_processes: list[ProcessPoolExecutor] = []


@dataclass(frozen=True)
class Training:
    """What is trained, as `tiny.run` takes it, and under which name its result is saved."""

    name: str
    family: str
    settings: Train
    card: DataSpec
    change: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[], None] | None = None  # called by each process before it trains


def train_all(trainings: Sequence[Training], folder: Path) -> Path:
    """The folder, with one file for each training on two processes, which `compare` reads."""
    on_two_ranks(each_in_turn, trainings, folder)
    return folder


def on_two_ranks(function: Callable[..., None], *arguments: Any) -> None:
    """Call `function(group, *arguments)` in two gloo processes, which stay for the next call."""
    if not _processes:
        _processes.append(ProcessPoolExecutor(2, mp.get_context("spawn"), initializer=die_with_parent))
    port = free_port()
    calls = [_processes[0].submit(_rank, index, port, function, arguments) for index in range(2)]
    done, waiting = wait(calls, return_when=FIRST_EXCEPTION)
    if any(call.exception() for call in done):  # the other one may wait for it for ever
        for process in _processes.pop()._processes.values():
            process.kill()
    for call in (*done, *waiting):
        call.result()


def _rank(index: int, port: int, function: Callable[..., None], arguments: Sequence[Any]) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=index, world_size=2)
    try:
        function(Group(index, 2), *arguments)
    finally:
        dist.destroy_process_group()


def each_in_turn(group: Group, trainings: Sequence[Training], folder: Path) -> None:
    """Train everything in turn; the first process saves what each of them has."""
    for training in trainings:
        if training.prepare:
            training.prepare()
        made = tiny.trainer(
            training.family, training.settings, card=training.card, change=training.change, group=group
        )
        try:
            train(made, tiny.batches(training.family, made), tiny.Memory())
        except Exception as error:
            error.add_note(f"on two ranks: {training.name}")
            raise
        shared = {name: p.detach() for name, p in made.family.named_parameters()}
        if "augment_p" in (buffers := dict(made.family.named_buffers())):
            shared["augment_p"] = buffers["augment_p"]
        ranks = group.gather(shared)
        if group.rank == 0:
            state = made.family.state_dict()
            torch.save({"state": state, "ranks": ranks}, folder / f"{training.name}.pt")


def compare(folder: Path, name: str, alone: Trainer) -> None:
    """Assert that both ranks end with the same bits, and with those of `alone` but for reordered sums."""
    together = torch.load(folder / f"{name}.pt", weights_only=True)
    first, second = together["ranks"]
    assert tiny.equal(first, second), "ranks differ"
    for key, value in alone.family.state_dict().items():
        torch.testing.assert_close(
            together["state"][key], value, rtol=2e-3, atol=2e-4, msg=lambda m, k=key: f"{k}: {m}"
        )
