"""Shards of a batch and processes."""

from __future__ import annotations

import torch
from torch import nn

from components.training.distributed import Buffers, Group
from models.family import Batch, Card, Config, Family, Phase


class TwoNetworks(Family):
    """Two networks with a buffer each that counts how often they ran, and one of the family's own."""

    Config = Config
    paper = "none"

    def __init__(self) -> None:
        super().__init__(Config(), Card(1, 8))
        self.generator, self.other = Counting(), Counting()  # type: ignore[assignment]
        self.register_buffer("updates", torch.zeros(()))
        self.phases = (
            Phase("a", self.loss, torch.optim.SGD(self.generator.parameters(), 0.1), after=self.count),
            Phase("b", self.loss, torch.optim.SGD(self.other.parameters(), 0.1), every=2),
        )

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        assert batch.image is not None
        return {"sum": self.generator(batch.image) + self.other(batch.image)}

    def count(self, terms: dict[str, torch.Tensor]) -> None:
        self.updates += 1


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.register_buffer("runs", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.runs += 1
        return self.weight * x.flatten(1).mean(1)


def test_buffers_belong_to_shards_and_to_the_networks_a_phase_trains() -> None:
    family = TwoNetworks()
    buffers = Buffers(family, [0, 1])
    batch = Batch(2, image=torch.zeros(2, 1, 8, 8))
    for shard in (0, 1, 1):
        with buffers.of(shard, phase=0):
            family.loss(batch)
    state = buffers.state()
    assert [float(state[s]["generator.runs"]) for s in (0, 1)] == [1, 2]
    assert [float(state[s]["other.runs"]) for s in (0, 1)] == [0, 0]
    with buffers.shared():
        family.generator.runs.fill_(9)
    assert [float(buffers.state()[s]["generator.runs"]) for s in (0, 1)] == [9, 9]


def test_one_process_agrees_with_itself() -> None:
    group = Group()
    assert group.shards(4) == [0, 1, 2, 3] and group.agree(5) == 5 and group.gather(5) == [5]
    assert Group(1, 2).shards(4) == [2, 3]
