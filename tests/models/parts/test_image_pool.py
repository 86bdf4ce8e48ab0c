"""The pool of earlier samples."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from models.parts.image_pool import ImagePool

pytestmark = pytest.mark.usefixtures("seeded")


def numbered(first: int, n: int) -> Tensor:
    """Images of one pixel that are their own numbers."""
    return torch.arange(first, first + n, dtype=torch.float32).view(n, 1, 1, 1)


def test_a_pool_fills_and_passes_samples_on() -> None:
    pool = ImagePool(5, (1, 1, 1))
    assert torch.equal(pool(numbered(0, 3)), numbered(0, 3)) and int(pool.count) == 3
    assert torch.equal(pool(numbered(3, 2)), numbered(3, 2)) and int(pool.count) == 5
    assert torch.equal(pool.images, numbered(0, 5))


def test_half_of_the_samples_of_a_full_pool_are_of_the_past() -> None:
    pool, exchanged = ImagePool(50, (1, 1, 1)), 0
    pool(numbered(0, 50))
    for first in range(50, 2050):
        x = numbered(first, 1)
        before = set(pool.images.flatten().tolist())
        passed = float(pool(x))
        after = set(pool.images.flatten().tolist())
        assert len(after) == 50
        if passed == first:
            assert after == before
        else:
            exchanged += 1
            assert before - after == {passed} and after - before == {float(first)}
    assert exchanged == pytest.approx(1000, abs=100)


def test_samples_are_passed_on_detached_and_are_not_views() -> None:
    pool, x = ImagePool(1, (1, 1, 1)), numbered(0, 2).requires_grad_()
    passed = pool(x * 1)
    assert not passed.requires_grad
    before = pool.images.clone()
    passed.fill_(9)
    assert torch.equal(pool.images, before)
    empty = ImagePool(0, (1, 1, 1))
    assert torch.equal(empty(x), x.detach()) and not empty(x).requires_grad


def test_a_pool_continues_from_its_state() -> None:
    pool = ImagePool(4, (1, 1, 1))
    pool(numbered(0, 6))
    other = ImagePool(4, (1, 1, 1))
    other.load_state_dict(copy.deepcopy(pool.state_dict()))
    for continued in (pool, other):
        torch.manual_seed(3)
        continued(numbered(6, 20))
    assert torch.equal(pool.images, other.images)
