"""What every family promises, tried on each entry of FAMILIES."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from components.data.dataset import Batches
from components.sampling import generate
from components.training.distributed import Group
from components.training.loop import train
from models.family import Card
from models.registry import FAMILIES
from tests import tiny

GOLDEN = Path(__file__).parents[1] / "golden"
OBSERVED = ("grad_norm", "loss", "auc", "sign", "latent_mean", "latent_square", "perplexity", "codes_used")
OBSERVED += ("mae", "elbo", "active_units", *(f"kl_z{j}" for j in range(32)))
EVERY = pytest.mark.parametrize("name", sorted(FAMILIES))
VARIED = pytest.mark.parametrize("name", sorted([*FAMILIES, *tiny.VARIANTS]))
AND_DEEP = pytest.mark.parametrize(("name", "card"), [
    *(pytest.param(name, tiny.CARD, id=name) for name in sorted(FAMILIES)),
    pytest.param("dcgan", tiny.DEEP, id="dcgan-deep"),  # with BatchNorm in both networks
])  # fmt: skip


def equal(a: Any, b: Any) -> bool:
    """Equal to the bit, whatever it is made of."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a if k != "seconds")
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


@VARIED
def test_resumed_is_uninterrupted_bit_for_bit(name: str) -> None:
    _, whole = tiny.run(name)
    _, rest = tiny.run(name, resume=whole.saved[3])
    assert equal(whole.saved[6], rest.saved[6])


@EVERY
def test_extra_checkpoints_change_nothing(name: str) -> None:
    few, _ = tiny.run(name, tiny.settings(checkpoint_every=6, log_every=6))
    many, log = tiny.run(name, tiny.settings(checkpoint_every=1))
    assert len(log.saved) == 6
    assert equal(few.family.state_dict(), many.family.state_dict())
    assert equal(few.ema.generator.state_dict(), many.ema.generator.state_dict())


@AND_DEEP
def test_a_phase_moves_its_own_parameters_only(name: str, card: Card) -> None:
    trainer = tiny.trainer(name, card=card)
    batches = [tiny_batch(trainer, shard) for shard in trainer.shards]
    for index, phase in enumerate(trainer.family.phases):
        own = {id(p) for p in phase.parameters}
        before = {n: p.detach().clone() for n, p in trainer.family.named_parameters()}
        buffers = {n: b.clone() for n, b in trainer.family.named_buffers()}
        trainer.update(index, phase, batches)
        moved = {n for n, p in trainer.family.named_parameters() if not torch.equal(before[n], p)}
        mine = {n for n, p in trainer.family.named_parameters() if id(p) in own}
        assert moved and moved <= mine
        trained = {n.split(".")[0] for n in mine}
        changed = {n for n, b in trainer.family.named_buffers() if not torch.equal(buffers[n], b)}
        assert {n.split(".")[0] for n in changed} <= trained


def tiny_batch(trainer: Any, shard: int) -> Any:
    data = Batches(tiny.split(card=trainer.family.card), trainer.settings.batch, trainer.settings.seed)
    return trainer.place(data.at(0, shard, trainer.settings.shards))


@EVERY
def test_bfloat16_stays_finite(name: str) -> None:
    trainer, log = tiny.run(name, tiny.settings(precision="bfloat16"))
    assert all(torch.isfinite(p).all() for p in trainer.family.parameters())
    assert len(log.rows) == 6


@EVERY
def test_samples_have_the_shape_and_do_not_depend_on_the_split(name: str) -> None:
    trainer, _ = tiny.run(name)
    generator, images = trainer.calibrated(), tiny.split().images[:]
    fixed = {"images": images} if FAMILIES[name].task != "generate" else {"labels": tiny.split().labels}
    whole = generate.draw(generator, tiny.CARD, n=20, seed=5, **fixed)
    part = generate.draw(generator, tiny.CARD, n=7, seed=5, start=9, **fixed)
    assert whole.shape == (20, *tiny.CARD.shape) and whole.dtype == "uint8"
    assert (whole[9:16] == part).all()


@VARIED
def test_golden_losses(name: str, request: pytest.FixtureRequest) -> None:
    """A refactoring leaves these five steps as they are.

    What is meant to change them writes them anew (--golden).
    """
    _, log = tiny.run(name, tiny.settings(steps=5))
    tiny.compare_golden(GOLDEN / f"{name}.txt", tiny.losses(log), request.config.getoption("--golden"))


@EVERY
def test_the_loss_falls_on_four_images(name: str) -> None:
    """Reconstruction and diffusion losses fall.

    Of adversarial ones, the discriminator's does where G stands still.
    """
    chosen = tiny.settings(steps=60, batch=4, shards=1, log_every=1)
    trainer, log = tiny.trainer(name, chosen, phases=1), tiny.Memory()
    train(trainer, Batches(tiny.split(4), 4, 0), log)
    losses = [sum(v for k, v in row.items() if is_loss(k, trainer)) for row in log.rows]
    assert sum(losses[-10:]) < sum(losses[:10])


def is_loss(key: str, trainer: Any) -> bool:
    phase, _, term = key.partition("/")
    return bool(term) and phase != "health" and "D(" not in term and term not in OBSERVED


def rank(
    index: int,
    size: int,
    port: int,
    name: str,
    card: Card,
    path: str,
    change: dict[str, Any] | None = None,
) -> None:
    """One of `size` gloo processes training `name`; the first leaves its state in a file."""
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(index),
        "WORLD_SIZE": str(size),
    }
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    trainer, log = tiny.trainer(name, card=card, change=change, group=Group(index, size)), tiny.Memory()
    train(trainer, Batches(tiny.split(card=card), trainer.settings.batch, trainer.settings.seed), log)
    states = trainer.group.gather({n: p.detach() for n, p in trainer.family.named_parameters()})
    assert all(equal(states[0], state) for state in states), "ranks differ"
    if index == 0:
        torch.save(trainer.family.state_dict(), path)
    dist.destroy_process_group()


@pytest.mark.parametrize(("name", "card"), [
    *(pytest.param(name, tiny.card_of(name), id=name) for name in sorted([*FAMILIES, *tiny.VARIANTS])),
    pytest.param("dcgan", tiny.DEEP, id="dcgan-deep"),
])  # fmt: skip
def test_two_ranks_equal_one(name: str, card: Card, tmp_path: Path) -> None:
    """The same two shards on one process or on two.

    Parameters agree within the tolerance of reordered sums.
    """
    from tests.conftest import free_port

    alone, _ = tiny.run(name, card=card)
    path = str(tmp_path / "state.pt")
    mp.spawn(rank, (2, free_port(), name, card, path), nprocs=2)
    together = torch.load(path, weights_only=True)
    for key, value in alone.family.state_dict().items():
        torch.testing.assert_close(
            together[key], value, rtol=2e-3, atol=2e-4, msg=lambda m, k=key: f"{k}: {m}"
        )
