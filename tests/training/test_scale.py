"""What a training takes is known from shapes alone."""

from __future__ import annotations

import pytest
import torch

from components.common.errors import InputError
from components.training import scale
from models.registry import FAMILIES
from tests import tiny

NEED_VALUES = {"vqvae", "cyclegan", "inpainting"}  # a pool, a mask or a codebook reads numbers


def estimate(name: str, **changes: object) -> scale.Scale:
    blocks = {family: dict(block) for family, block in tiny.CONFIGS.items()}
    settings = tiny.settings(**{"batch": 512, "micro_batches": 128, "workers": 128} | changes)
    return scale.estimate(name, blocks, tiny.card_of(name), settings)


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - NEED_VALUES))
def test_every_family_is_estimated(name: str) -> None:
    result = estimate(name)
    trained = tiny.trained(name)[0].family if name == "vae" else None
    if trained is not None:
        assert result.parameters == sum(p.numel() for p in trained.parameters())
    assert (result.workers, result.shard, result.shards, result.images) == (128, 4, 1, 512 * 6)
    assert result.activations > 0 and result.operations > 0 and result.memory > result.state
    assert result.traffic > 0 and estimate(name, workers=1).traffic == 0


@pytest.mark.parametrize("name", sorted(NEED_VALUES))
def test_a_family_whose_loss_reads_values_says_so(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: cannot be estimated without data"):
        estimate(name)


def test_one_worker_computes_what_all_do_and_half_precision_keeps_half() -> None:
    one, all_of_them = estimate("vae", workers=1), estimate("vae")
    assert one.shards == 128 and one.operations == pytest.approx(128 * all_of_them.operations)
    uneven = estimate("vae", workers=127)  # one of them has two micro-batches
    assert uneven.shards == 2 and uneven.operations == pytest.approx(2 * all_of_them.operations)
    assert one.hours(2.0) == pytest.approx(one.hours(1.0) / 2)
    assert estimate("vae", precision="bfloat16").activations == all_of_them.activations // 2
    large = estimate("vae", batch=1024)
    assert large.activations > 1.5 * all_of_them.activations and large.state == all_of_them.state


def test_operations_and_kept_bytes_of_a_layer_are_those_of_its_equation() -> None:
    """A linear layer multiplies once for the output, and once for each of its two gradients."""
    x = torch.zeros(8, 16, device="meta", requires_grad=True)
    weight = torch.zeros(32, 16, device="meta", requires_grad=True)
    with scale.Operations() as counted:
        (x @ weight.T).sum().backward()
    assert counted.total == 3 * 2 * 8 * 16 * 32
