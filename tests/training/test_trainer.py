"""One step of training."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from components.data.batches import Batches
from components.training.loop import train
from components.training.trainer import seed
from models.data_spec import DataSpec
from models.family import Batch, Config, Family, Phase
from tests import tiny


def test_clipping_bounds_the_gradient() -> None:
    _, free = tiny.run("autoencoder", tiny.settings(steps=1))
    trainer = tiny.trainer("autoencoder", tiny.settings(steps=1, clip_grad_norm=1e-3))
    train(trainer, Batches(tiny.split(), 8, 0), tiny.Memory())
    norm = torch.stack([p.grad.norm() for p in trainer.family.parameters() if p.grad is not None]).norm()
    assert free.rows[0]["reconstruct/grad_norm"] > 1e-2 and float(norm) <= 1.001e-3


class TwoNetworks(Family):
    """Two networks with a buffer each that counts how often they ran, and one of the family's own."""

    Config = Config
    paper = "none"

    def __init__(self) -> None:
        super().__init__(Config(), DataSpec(1, 8))
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


def test_after_runs_once_per_update_and_every_counts_steps() -> None:
    from components.training.trainer import Trainer

    family = TwoNetworks()
    trainer = Trainer(family, replace_steps(tiny.settings(micro_batches=4, steps=4)))
    train(trainer, Batches(tiny.split(), 8, 0), QuietMemory())
    assert float(family.updates) == 4
    assert [phase.is_due(step) for phase in family.phases for step in range(4)] == [True] * 4 + [
        False,
        True,
    ] * 2


def replace_steps(chosen: Any) -> Any:
    return chosen.model_copy(update={"num_snapshots": 1})


class QuietMemory(tiny.Memory):
    """Draws nothing."""

    def grid(self, step: int, generator: nn.Module) -> None:
        pass


def test_seeds_are_those_of_torch() -> None:
    torch.manual_seed(1 << 62)
    expected = torch.rand(3), torch.randperm(9)
    seed(1 << 62, torch.device("cpu"))
    assert torch.equal(torch.rand(3), expected[0]) and torch.equal(torch.randperm(9), expected[1])
