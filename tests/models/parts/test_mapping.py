"""The mapping network against a plain one, its mean, style mixing and truncation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from models.parts.mapping import Mapping, mixed, truncated, unit_second_moment
from tests.models.parts.derivatives import assert_equal_derivatives


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_the_network_is_layers_on_a_normalised_z_and_class() -> None:
    network = Mapping(4, 3, 2, num_classes=5).double().eval()
    label = torch.tensor([0, 3, 3])

    def slow(z: Tensor, embedding: Tensor, first: Tensor, second: Tensor) -> Tensor:
        rows = []
        for vector, y in zip(z, label, strict=True):
            e = embedding[:, y] / math.sqrt(5)
            parts = [v / (v.square().sum() / len(v) + 1e-8).sqrt() for v in (vector, e)]
            h = torch.cat(parts)
            for weight in (first, second):
                h = math.sqrt(2) * leaky_relu(0.01 * weight @ h / math.sqrt(len(h)), 0.2)
            rows.append(h)
        return torch.stack(rows)

    def fast(z: Tensor, *weights: Tensor) -> Tensor:
        names = ("embed.weight", "layers.0.weight", "layers.1.weight")
        return torch.func.functional_call(network, dict(zip(names, weights, strict=True)), (z, label))

    assert network.embed is not None and len(network.layers) == 2
    weights = [network.embed.weight, *(layer.weight for layer in network.layers)]
    assert_equal_derivatives(fast, slow, torch.randn(3, 4), *weights)


def test_rows_of_any_length_get_a_unit_second_moment() -> None:
    x = unit_second_moment(torch.randn(5, 64) * torch.tensor([[0.01], [1], [3], [100], [1e4]]))
    torch.testing.assert_close(x.square().mean(1), torch.ones(5), rtol=1e-3, atol=0)


def test_the_mean_is_averaged_in_training_alone() -> None:
    network = Mapping(4, 3, 1, mean_decay=0.75)
    z = torch.randn(16, 4)
    assert network.mean is not None
    first = network(z).mean(0)
    torch.testing.assert_close(network.mean, 0.25 * first)
    network(z)
    torch.testing.assert_close(network.mean, (0.25 + 0.75 * 0.25) * first)
    before = network.mean.clone()
    network.eval()(z)
    assert torch.equal(network.mean, before)


def test_a_network_of_the_class_alone_has_no_mean() -> None:
    network = Mapping(0, 3, 2, num_classes=4)
    w = network(None, torch.tensor([1, 2, 1]))
    assert w.shape == (3, 3) and torch.equal(w[0], w[2]) and not torch.equal(w[0], w[1])
    assert network.mean is None


@pytest.mark.parametrize("probability", [0.0, 0.9, 1.0])
def test_mixing_crosses_over_once_at_any_layer(probability: float) -> None:
    w, other = torch.zeros(4000, 2), torch.ones(4000, 2)
    styles = mixed(w, other, 5, probability)
    assert styles.shape == (4000, 5, 2) and torch.equal(styles[..., 0], styles[..., 1])
    took = styles[..., 0]
    assert not took[:, 0].any() and bool((took[:, 1:] >= took[:, :-1]).all())
    counts = took.sum(1)  # layers with the other style
    assert float((counts > 0).float().mean()) == pytest.approx(probability, abs=0.02)
    for layers in range(1, 5):
        assert float((counts == layers).float().mean()) == pytest.approx(probability / 4, abs=0.03)


def test_truncation_moves_the_first_layers_towards_the_mean() -> None:
    w, mean = torch.randn(2, 4, 3), torch.randn(3)
    torch.testing.assert_close(truncated(w, mean, 1.0), w)
    torch.testing.assert_close(truncated(w, mean, 0.0), mean.expand(2, 4, 3))
    near = truncated(w, mean, 0.7, cutoff=2)
    torch.testing.assert_close(near[:, :2] - mean, 0.7 * (w[:, :2] - mean))
    assert torch.equal(near[:, 2:], w[:, 2:])


def test_the_centre_may_differ_by_image() -> None:
    w, means = torch.randn(2, 4, 3), torch.randn(2, 3)
    torch.testing.assert_close(truncated(w, means, 0.0), means[:, None].expand(2, 4, 3))
