"""RRDBNet: its layers, its initial weights, and closed forms of its blocks."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from models.parts.rrdb import DenseBlock, ResidualInResidual, RRDBNet

pytestmark = pytest.mark.usefixtures("seeded")


def test_it_is_the_paper_s() -> None:
    """23 RRDBs of 64 channels, growth 32: 16.7 million parameters at x 4."""
    with torch.device("meta"):
        network = RRDBNet(3, scale=4, width=64, growth=32, blocks=23)
    assert sum(p.numel() for p in network.parameters()) == 16_697_987
    block = DenseBlock(64, 32)
    sizes = [(layer.in_channels, layer.out_channels) for layer in block.layers]  # type: ignore[union-attr]
    assert sizes == [(64, 32), (96, 32), (128, 32), (160, 32), (192, 64)]


def test_initial_weights_are_a_tenth_of_he_s() -> None:
    for layer in DenseBlock(64, 32).layers:
        assert isinstance(layer, nn.Conv2d) and layer.bias is not None and not layer.bias.any()
        expected = 0.1 * (2 / (layer.in_channels * 9)) ** 0.5
        assert float(layer.weight.detach().std()) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (8, 8), (13, 3)])
def test_sources_may_have_any_size(scale: int, shape: tuple[int, int]) -> None:
    network = RRDBNet(1, scale=scale, width=4, growth=2, blocks=1)
    assert network(torch.zeros(2, 1, *shape)).shape == (2, 1, scale * shape[0], scale * shape[1])


def test_without_residuals_a_dense_block_is_the_identity_and_an_rrdb_multiplies_by_its_skip() -> None:
    """Dense blocks whose last convolution is zero return x, so that an RRDB is x + 0.2 x."""
    block, x = ResidualInResidual(4, 2), torch.randn(2, 4, 6, 6)
    for dense in block.blocks:
        nn.init.zeros_(dense.layers[-1].weight)  # type: ignore[union-attr, index, arg-type]
        assert torch.equal(dense(x), x)
    torch.testing.assert_close(block(x), 1.2 * x)


@pytest.mark.parametrize("scale", [2, 4])
def test_of_one_tap_it_repeats_pixels(scale: int) -> None:
    """With a zero body and one tap in the centre of all other kernels, positive images only grow."""
    network = RRDBNet(3, scale=scale, width=5, growth=2, blocks=1)
    nn.init.zeros_(network.body[-1].weight)  # type: ignore[arg-type]
    nn.init.zeros_(network.body[-1].bias)  # type: ignore[arg-type]
    for layer in (network.first, *network.up, network.hr, network.last):
        assert isinstance(layer, nn.Conv2d) and layer.bias is not None
        nn.init.dirac_(layer.weight)
        nn.init.zeros_(layer.bias)
    x = torch.rand(2, 3, 5, 4)
    torch.testing.assert_close(network(x), interpolate(x, scale_factor=scale, mode="nearest"))


def test_a_body_of_nothing_but_a_tap_doubles_the_features() -> None:
    """The body's skip: first(x) + first(x) where the body is one tap and its RRDBs multiply by 1.2."""
    network = RRDBNet(2, scale=2, width=2, growth=2, blocks=1)
    for dense in network.body[0].blocks:  # type: ignore[union-attr]
        nn.init.zeros_(dense.layers[-1].weight)  # type: ignore[union-attr, index, arg-type]
    for layer in (network.first, network.body[-1], *network.up, network.hr, network.last):
        nn.init.dirac_(layer.weight)  # type: ignore[arg-type]
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    x = torch.rand(1, 2, 3, 3)
    torch.testing.assert_close(network(x), 2.2 * interpolate(x, scale_factor=2, mode="nearest"))
