"""Shards of a batch and processes."""

from __future__ import annotations

import pytest
import torch

from components.training.distributed import Buffers, Group
from models.family import Batch
from tests import tiny, two_ranks
from tests.training.test_trainer import TwoNetworks


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


@pytest.mark.parametrize(("count", "size"), [(4, 4), (4, 3), (5, 2), (7, 4)])
def test_every_shard_is_that_of_one_process_and_no_process_has_two_more(count: int, size: int) -> None:
    shares = [Group(rank, size).shards(count) for rank in range(size)]
    assert sum(shares, []) == list(range(count))
    assert {len(share) for share in shares} <= {count // size, count // size + 1}


def averaged(group: Group) -> None:
    """Make two steps of a GAN on one of two processes; its gradients are where their means were computed."""
    trainer = tiny.trainer("dcgan", card=tiny.DEEP, group=group)
    data = tiny.batches("dcgan", trainer)
    for _ in range(2):
        trainer.step(data)
    for phase in trainer.family.phases:
        gradients = [p.grad for p in phase.parameters if p.grad is not None]
        buckets = {gradient.untyped_storage().data_ptr() for gradient in gradients}
        assert len(gradients) == len(phase.parameters) and len(buckets) < len(gradients)


def test_gradients_take_no_memory_beside_their_buckets() -> None:
    two_ranks.on_two_ranks(averaged)
