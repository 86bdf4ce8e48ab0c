"""Tiles: where they lie, that their weights add up to 1, and that they equal the whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from models.parts.rrdb import RRDBNet
from models.parts.tiles import ramp, shared, starts, tiled

pytestmark = pytest.mark.usefixtures("seeded")

SIZES = [1, 7, 24, 25, 31, 40, 41, 57, 64, 100]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("overlap", [1, 4, 8])
def test_weights_of_all_tiles_add_up_to_1(size: int, overlap: int) -> None:
    tile, total = 24, torch.zeros(size)
    first = starts(size, tile, overlap)
    inside = min(tile, size)
    assert first[0] == 0 and first[-1] == size - inside
    assert all(b - a <= tile - overlap for a, b in zip(first, first[1:], strict=False))
    for i, start in enumerate(first):
        total[start : start + inside] += ramp(inside, *shared(first, i, inside, 1))
    torch.testing.assert_close(total, torch.ones(size))


@pytest.mark.parametrize("shape", [(25, 60), (61, 17), (33, 33), (100, 25)])
def test_an_enlargement_without_context_equals_the_whole(shape: tuple[int, int]) -> None:
    def enlarge(x: Tensor) -> Tensor:
        assert max(x.shape[2:]) <= 24
        return interpolate(x, scale_factor=2, mode="nearest")

    x = torch.rand(2, 3, *shape)
    torch.testing.assert_close(tiled(enlarge, x, 2, 24, 8), interpolate(x, scale_factor=2, mode="nearest"))


@pytest.mark.parametrize("shape", [(92, 33), (49, 92)])
def test_a_field_within_the_quarter_of_an_overlap_equals_the_whole(shape: tuple[int, int]) -> None:
    """Four convolutions reach 4 pixels, the outer quarter of an overlap of 16."""
    network = nn.Sequential(*(nn.Conv2d(2, 2, 3, padding=1) for _ in range(4)))
    x = torch.rand(1, 2, *shape)
    with torch.no_grad():
        torch.testing.assert_close(tiled(network, x, 1, 48, 16), network(x))
        different = tiled(network, x, 1, 48, 4)
    assert not torch.allclose(different, network(x), atol=1e-4)


@pytest.mark.parametrize("scale", [2, 4])
def test_a_small_network_in_tiles_has_no_seams(scale: int) -> None:
    """The error is small everywhere, and no larger at the edges of tiles than a level of 8 bits."""
    network = RRDBNet(3, scale=scale, width=8, growth=4, blocks=2)
    x = torch.rand(1, 3, 131, 77) * 2 - 1
    with torch.no_grad():
        whole, parts = network(x), tiled(network, x, scale, 96, 32)
    assert parts.shape == (1, 3, 131 * scale, 77 * scale)
    assert float((parts - whole).abs().max()) < 1 / 127.5
