"""What every family promises, tried on each entry of FAMILIES."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from components.data.batches import Batches
from components.sampling import generate
from components.sampling.conditions import target_images
from components.training.loop import train
from models.data_spec import DataSpec
from models.registry import FAMILIES
from tests import tiny, two_ranks
from tests.families import translators

NAMES = sorted([*FAMILIES, *tiny.VARIANTS])
OBSERVED = ("grad_norm", "loss", "auc", "sign", "latent_mean", "latent_square", "perplexity", "codes_used")
OBSERVED += ("mae", "elbo", "active_units", *(f"kl_z{j}" for j in range(32)))
EVERY = pytest.mark.parametrize("name", sorted(FAMILIES))
VARIED = pytest.mark.parametrize("name", NAMES)
AND_DEEP = pytest.mark.parametrize(("name", "card"), [
    *(pytest.param(name, tiny.CARD, id=name) for name in sorted(FAMILIES)),
    pytest.param("dcgan", tiny.DEEP, id="dcgan-deep"),  # with BatchNorm in both networks
])  # fmt: skip


@VARIED
def test_resumed_is_uninterrupted_bit_for_bit(name: str) -> None:
    """And neither the checkpoint in between nor a row of the log after each step changes anything."""
    _, whole = tiny.trained(name)
    _, rest = tiny.run(name, tiny.settings(log_every=6), resume=copy.deepcopy(whole.saved[3]))
    assert (len(whole.saved), len(rest.saved), len(whole.rows), len(rest.rows)) == (2, 1, 6, 1)
    assert tiny.equal(whole.saved[6], rest.saved[6])


@AND_DEEP
def test_a_phase_moves_its_own_parameters_only(name: str, card: DataSpec) -> None:
    trainer = tiny.trainer(name, card=tiny.card_of(name, card))
    batches = [tiny_batch(trainer, shard) for shard in trainer.shards]
    for index, phase in enumerate(trainer.family.phases):
        own = {id(p) for p in phase.parameters}
        before = {n: p.detach().clone() for n, p in trainer.family.named_parameters()}
        buffers = {n: b.clone() for n, b in trainer.family.named_buffers()}
        trainer.update(index, phase, batches)
        moved = {n for n, p in trainer.family.named_parameters() if not torch.equal(before[n], p)}
        allowed = {n for n, p in trainer.family.named_parameters() if id(p) in own}
        assert moved and moved <= allowed
        trained = {n.split(".")[0] for n in allowed}
        of_networks = {n: b for n, b in trainer.family.named_buffers() if "." in n}
        changed = {n for n, b in of_networks.items() if not torch.equal(buffers[n], b)}
        assert {n.split(".")[0] for n in changed} <= trained


def tiny_batch(trainer: Any, shard: int) -> Any:
    data = Batches(tiny.split(card=trainer.family.card), trainer.settings.batch, trainer.settings.seed)
    return trainer.place(data.at(0, shard, trainer.settings.micro_batches))


@EVERY
def test_bfloat16_stays_finite(name: str) -> None:
    trainer, log = tiny.run(name, tiny.settings(precision="bfloat16", steps=3))
    assert all(torch.isfinite(p).all() for p in trainer.family.parameters())
    assert len(log.rows) == 3


@EVERY
def test_samples_have_the_shape_and_do_not_depend_on_the_split(name: str) -> None:
    trainer = copy.deepcopy(tiny.trained(name)[0])
    generator, split = trainer.calibrated(), tiny.split_for(name, card := tiny.card_of(name))
    fixed = target_images(name, split) or {"labels": split.labels}
    whole = generate.draw(generator, card, n=20, seed=5, **fixed)
    part = generate.draw(generator, card, n=7, seed=5, start=9, **fixed)
    assert whole.shape == (20, *tiny.CARD.shape) and whole.dtype == "uint8"
    assert (whole[9:16] == part).all()


@VARIED
def test_golden_losses(name: str, request: pytest.FixtureRequest) -> None:
    """A refactoring leaves these steps as they are.

    What is meant to change them writes them anew (--golden).
    """
    _, log = tiny.trained(name)
    tiny.compare_golden(tiny.GOLDEN / f"{name}.txt", tiny.losses(log), request.config.getoption("--golden"))


@EVERY
def test_the_loss_falls_on_four_images(name: str) -> None:
    """Reconstruction and diffusion losses fall.

    Of adversarial ones, the discriminator's does where G stands still.
    """
    chosen = tiny.settings(steps=60, batch=4, micro_batches=1, log_every=1)
    trainer, log = tiny.trainer(name, chosen, phases=1), tiny.Memory()
    train(trainer, Batches(tiny.split(4, tiny.card_of(name)), 4, 0), log)
    losses = [sum(v for k, v in row.items() if is_loss(k, trainer)) for row in log.rows]
    assert sum(losses[-10:]) < sum(losses[:10])


def is_loss(key: str, trainer: Any) -> bool:
    phase, _, term = key.partition("/")
    return bool(term) and phase != "health" and "D(" not in term and term not in OBSERVED


UNEVEN = ("dcgan", "kl_vae", "vqvae", "stylegan2", "stylegan3")  # families whose processes share statistics
THREE_SHARDS = tiny.settings(steps=4, batch=12, micro_batches=3)


@pytest.fixture(scope="module")
def on_two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes left all that test_two_ranks_equal_one compares."""
    trainings = [
        *(two_ranks.Training(name, name, tiny.settings(), tiny.card_of(name)) for name in NAMES),
        two_ranks.Training("dcgan-deep", "dcgan", tiny.settings(), tiny.DEEP),
        *(
            two_ranks.Training(name, name, tiny.settings(), translators.CARD, prepare=translators.register)
            for name in translators.NAMES
        ),
        *(two_ranks.Training(f"{name}-3", name, THREE_SHARDS, tiny.card_of(name)) for name in UNEVEN),
    ]
    return two_ranks.train_all(trainings, tmp_path_factory.mktemp("ranks"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NAMES, "dcgan-deep"])
def test_two_ranks_equal_one(name: str, on_two_ranks: Path) -> None:
    """The same two shards on one process or on two.

    Parameters agree within the tolerance of reordered sums.
    """
    alone, _ = tiny.trained("dcgan", tiny.DEEP) if name == "dcgan-deep" else tiny.trained(name)
    two_ranks.compare(on_two_ranks, name, alone)


@pytest.mark.slow
@pytest.mark.parametrize("name", UNEVEN)
def test_two_ranks_share_three_shards(name: str, on_two_ranks: Path) -> None:
    """One process has two of them; losses, gradients and statistics are means over shards all the same."""
    alone, _ = tiny.run(name, THREE_SHARDS)
    two_ranks.compare(on_two_ranks, f"{name}-3", alone)


@pytest.mark.usefixtures("translators")
@pytest.mark.parametrize("name", translators.NAMES)
def test_two_ranks_equal_one_from_sources(name: str, on_two_ranks: Path) -> None:
    """Also where the sources have an order of their own."""
    alone, _ = tiny.run(name, card=translators.CARD)
    two_ranks.compare(on_two_ranks, name, alone)
