"""The loop's parts, each pinned by what it must give."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from components.common.errors import RunError
from components.common.seeds import derive, seed
from components.data.batches import Batches
from components.store import Store
from components.training import checkpoint
from components.training.distributed import Buffers, Group
from components.training.ema import EMA, decay
from components.training.loop import train
from components.training.schedule import grid_steps, learning_rate
from components.training.validation import held_out
from models.family import Batch, Card, Config, Family, Phase
from tests import tiny


def test_schedules_are_pure_functions_that_end_near_zero() -> None:
    for name in ("linear", "cosine", "sqrt"):
        rates = [learning_rate(name, step, 100) for step in range(100)]
        assert rates[0] == 1 and rates == sorted(rates, reverse=True) and 0 < rates[-1] < 0.11
    assert learning_rate("linear", 50, 100) == 0.5
    assert learning_rate("cosine", 50, 100) == pytest.approx(0.5)
    assert learning_rate("sqrt", 75, 100) == 0.5
    assert [learning_rate("constant", s, 100, 4) for s in range(5)] == [0.25, 0.5, 0.75, 1, 1]


def test_the_half_life_halves() -> None:
    weight = 1.0
    for _ in range(100):
        weight *= decay(10, 10**9, 1000, 1.0)
    assert weight == pytest.approx(0.5)
    assert decay(10, 100, 1000, 0.05) == pytest.approx(0.5**2)  # ramp-up: 5 images so far are the half-life
    assert decay(10, 100, 0, 0.05) == 0


def test_the_average_averages_parameters_and_copies_buffers() -> None:
    network = nn.BatchNorm1d(2)
    average: Any = EMA(network, half_life_images=10, ramp_up=1.0)
    with torch.no_grad():
        network.weight.fill_(3)
        network.running_mean.fill_(7)
    average.update(batch=10, images=1000)
    assert torch.allclose(average.generator.weight, torch.tensor([2.0, 2.0]))
    assert torch.equal(average.generator.running_mean, network.running_mean)


def test_seeds_differ_wherever_anything_differs() -> None:
    seeds = {derive(a, b, c) for a in range(5) for b in range(5) for c in range(5)}
    assert len(seeds) == 125 and all(0 <= seed < 2**63 for seed in seeds)


def test_grids_are_evenly_spaced_and_end_with_training() -> None:
    assert grid_steps(tiny.settings(steps=100, sample_grids=4)) == {25, 50, 75, 100}
    assert max(grid_steps(tiny.settings(steps=7, sample_grids=20))) == 7


def test_seeds_are_those_of_torch() -> None:
    torch.manual_seed(1 << 62)
    expected = torch.rand(3), torch.randperm(9)
    seed(1 << 62, torch.device("cpu"))
    assert torch.equal(torch.rand(3), expected[0]) and torch.equal(torch.randperm(9), expected[1])


def test_held_out_images_are_all_there_once() -> None:
    batches = held_out(tiny.split(50), size=16)
    assert [len(batch) for batch in batches] == [16, 16, 16, 2]
    assert sum(len(batch) for batch in held_out(tiny.split(50), size=16, limit=20)) == 20


def test_early_stopping_keeps_the_best_weights() -> None:
    """Weights are ruined after step 20: training stops, and what is kept are those of the best step."""
    chosen = tiny.settings(steps=200, validate_every=5, patience=2, ema_half_life_images=0, batch=16)
    trainer, log = tiny.trainer("autoencoder", chosen), tiny.Memory()
    batches = Batches(tiny.split(), chosen.batch, 0)
    scores: dict[int, float] = {}
    select, step = trainer.select, trainer.step

    def worse_after_twenty(data: Any) -> None:
        step(data)
        if trainer.control.step > 20:
            with torch.no_grad():
                [p.add_(0.3 * torch.ones_like(p)) for p in trainer.family.parameters()]
            trainer.ema.update(16, 10**6)

    def noted(score: float) -> None:
        scores[trainer.control.step] = score
        select(score)

    trainer.step, trainer.select = worse_after_twenty, noted  # type: ignore[method-assign]
    trained = train(trainer, batches, log, validation=held_out(tiny.split(), 16))
    assert trained.control.stopped and trained.control.step < 200
    best = min(scores, key=scores.__getitem__)
    assert trained.control.best_step == best
    with torch.no_grad():
        batch = held_out(tiny.split(), 64)[0]
        torch.manual_seed(0)
        kept = trainer.weights("best")
        error = (kept(batch.image) - batch.image).square().mean()
    assert float(error) == pytest.approx(scores[best], rel=1e-4)


class Judged(tiny.Memory):
    """A log whose jury gives known scores by step."""

    def __init__(self, scores: dict[int, float]):
        super().__init__()
        self.scores = scores

    def judge(self, step: int, generator: torch.nn.Module) -> dict[str, float]:
        return {"score": self.scores[step], "kid": self.scores[step]}


SCORES = {0: 9.0, 4: 3.0, 8: 1.0, 12: 2.0, 16: 5.0}


def judged(name: str, resume: dict[str, Any] | None = None, **changes: Any) -> tuple[Any, Judged, Any]:
    chosen = tiny.settings(steps=16, sample_grids=4, checkpoint_every=4, **changes)
    trainer, log = tiny.trainer(name, chosen), Judged(SCORES)
    return trainer, log, train(trainer, Batches(tiny.split(), 8, 0), log, resume=resume)


def test_the_best_judged_snapshot_is_kept_beside_the_last() -> None:
    """Also of a family with two phases, which no validation loss could judge; and over an interruption."""
    trainer, log, trained = judged("dcgan")
    assert trained.control.best_step == 8 and trained.control.step == 16
    assert [point["step"] for point in trained.control.curve] == list(SCORES)
    assert trained.control.curve[2] == {"step": 8, "kid": 1.0}
    last = {name: value.clone() for name, value in trainer.weights("last").state_dict().items()}
    best = trainer.weights("best").state_dict()
    averaged = {name: value for name, value in best.items() if "running" not in name and "num_b" not in name}
    for name, value in averaged.items():
        assert torch.equal(value, log.saved[8]["ema"][name]) and not torch.equal(value, last[name]), name
    assert log.rows[-1]["judged/kid"] == 5.0

    resumed, _, again = judged("dcgan", resume=log.saved[12])
    assert again.control.best_step == 8 and again.control.curve == trained.control.curve
    assert all(torch.equal(v, best[k]) for k, v in resumed.weights("best").state_dict().items())


def test_judging_leaves_the_weights_as_they_would_be_without() -> None:
    plain, _ = tiny.run("dcgan", tiny.settings(steps=16, sample_grids=4, checkpoint_every=4))
    watched, _, _ = judged("dcgan")
    for a, b in zip(plain.family.state_dict().values(), watched.family.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_patience_counts_snapshots_where_there_is_no_validation_loss() -> None:
    _, _, trained = judged("dcgan", patience=1)
    assert trained.control.stopped and trained.control.step == 12 and trained.control.best_step == 8


def test_clipping_bounds_the_gradient() -> None:
    _, free = tiny.run("autoencoder", tiny.settings(steps=1))
    trainer = tiny.trainer("autoencoder", tiny.settings(steps=1, clip=1e-3))
    train(trainer, Batches(tiny.split(), 8, 0), tiny.Memory())
    norm = torch.stack([p.grad.norm() for p in trainer.family.parameters() if p.grad is not None]).norm()
    assert free.rows[0]["reconstruct/grad_norm"] > 1e-2 and float(norm) <= 1.001e-3


def test_a_term_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint() -> None:
    trainer, log = (
        tiny.trainer("vae", tiny.settings(steps=12, checkpoint_every=3, log_every=1)),
        tiny.Memory(),
    )
    step = trainer.step

    def breaks(data: Any) -> None:
        step(data)
        if trainer.control.step == 5:
            trainer.logged.sums["elbo/kl"] = torch.tensor(math.nan)

    trainer.step = breaks  # type: ignore[method-assign]
    with pytest.raises(RunError, match="elbo/kl became nan.*before step 5"):
        train(trainer, Batches(tiny.split(), 8, 0), log)
    assert list(log.saved) == [3]


# A family that knows what its phases see


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


def test_after_runs_once_per_update_and_every_counts_steps() -> None:
    from components.training.trainer import Trainer

    family = TwoNetworks()
    trainer = Trainer(family, replace_steps(tiny.settings(shards=4, steps=4)))
    train(trainer, Batches(tiny.split(), 8, 0), QuietMemory())
    assert float(family.updates) == 4
    assert [phase.is_due(step) for phase in family.phases for step in range(4)] == [True] * 4 + [
        False,
        True,
    ] * 2


def replace_steps(chosen: Any) -> Any:
    return chosen.model_copy(update={"sample_grids": 1})


class QuietMemory(tiny.Memory):
    """Draws nothing."""

    def grid(self, step: int, generator: nn.Module) -> None:
        pass


def test_a_phase_is_first_due_after_its_interval() -> None:
    phase = Phase("x", lambda batch: {}, torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1), every=5)
    assert [step for step in range(20) if phase.is_due(step)] == [4, 9, 14, 19]
    assert replace(phase, every=1).is_due(0)


# Checkpoints


def test_the_newest_readable_checkpoint_is_found(tmp_path: Any) -> None:
    attempt = Store(tmp_path)
    for step in (3, 6, 9):
        attempt.write_bytes(checkpoint.name(step), checkpoint.encode({"control": {"step": step}}))
    attempt.write_bytes(checkpoint.name(9), b"torn")
    found = checkpoint.newest(attempt)
    assert found is not None and found["control"]["step"] == 6
    checkpoint.prune(attempt)
    assert checkpoint.moments(attempt) == [(1, 6), (1, 9)]
    assert checkpoint.newest(Store(tmp_path / "empty")) is None


def test_a_checkpoint_runs_no_code(tmp_path: Any) -> None:
    import pickle

    attempt = Store(tmp_path)
    attempt.write_bytes(checkpoint.name(1), pickle.dumps({"x": print}))
    assert checkpoint.newest(attempt) is None


def test_one_process_agrees_with_itself() -> None:
    group = Group()
    assert group.shards(4) == [0, 1, 2, 3] and group.agree(5) == 5 and group.gather(5) == [5]
    assert Group(1, 2).shards(4) == [2, 3]
