"""Statistics of a batch beside a discriminator's features, and spectral normalisation."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torch.linalg import matrix_norm

from models.dcgan import DCGANConfig, Features
from models.parts.discriminator import (
    Discriminator,
    MinibatchDiscrimination,
    MinibatchStddev,
    normalise_spectrally,
)
from tests.models.parts.derivatives import assert_equal_derivatives
from tests.models.test_adversarial import CARD, images

pytestmark = pytest.mark.usefixtures("seeded")


def test_minibatch_discrimination_by_hand() -> None:
    layer = MinibatchDiscrimination(2, kernels=1, dim=2)
    nn.init.eye_(layer.project.weight)
    h = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    near = {1: math.exp(-1), 2: math.exp(-2), 3: math.exp(-3)}  # by distance: 01 is 1, 02 is 2, 12 is 3
    expected = [near[1] + near[2], near[1] + near[3], near[2] + near[3]]
    assert layer(h)[:, 0].tolist() == pytest.approx(expected, abs=1e-6)


def test_minibatch_discrimination_tells_copies_from_loners() -> None:
    layer = MinibatchDiscrimination(4, kernels=3)
    assert torch.equal(layer(torch.randn(1, 4)), torch.zeros(1, 3))  # nobody else is there
    torch.testing.assert_close(layer(torch.ones(5, 4)), torch.full((5, 3), 4.0))
    torch.testing.assert_close(layer(1e4 * torch.randn(5, 4)), torch.zeros(5, 3), atol=1e-5, rtol=0)


def test_minibatch_discrimination_keeps_its_kernels_apart() -> None:
    layer, h = MinibatchDiscrimination(4, kernels=3, dim=2), torch.randn(5, 4)
    m = layer.project(h).view(5, 3, 2)
    expected = torch.zeros(5, 3)
    for i in range(5):
        for j in set(range(5)) - {i}:
            expected[i] += (-(m[i] - m[j]).abs().sum(1)).exp().detach()
    torch.testing.assert_close(layer(h).detach(), expected)


def test_minibatch_stddev_groups_every_nth_image() -> None:
    """Groups {0, 2, 4, 6} and {1, 3, 5, 7}; the deviation divides by G."""
    h = torch.tensor([0.0, 5, 0, 5, 4, 5, 4, 5])[:, None].expand(-1, 3)
    deviation = MinibatchStddev(4)(h)
    assert deviation.shape == (8, 1)
    assert deviation[:, 0].tolist() == pytest.approx([2, 1e-4] * 4, abs=1e-6)


def test_minibatch_stddev_averages_over_features() -> None:
    h = torch.tensor([[0.0, 0.0], [2.0, 6.0]])
    assert MinibatchStddev(4)(h).flatten().tolist() == pytest.approx([2, 2])  # of 1 and 3; all are one group


def test_minibatch_stddev_and_its_derivatives_are_its_definition() -> None:
    def slow(h: torch.Tensor) -> torch.Tensor:
        values = []
        for first in (0, 1):
            group = [h[first], h[first + 2], h[first + 4]]
            mean = (group[0] + group[1] + group[2]) / 3
            variance = ((group[0] - mean) ** 2 + (group[1] - mean) ** 2 + (group[2] - mean) ** 2) / 3
            values.append((variance + 1e-8).sqrt().mean())
        return torch.stack(values * 3)[:, None]

    assert_equal_derivatives(MinibatchStddev(3), slow, torch.randn(6, 5))


def test_minibatch_stddev_of_a_single_image_has_a_gradient() -> None:
    h = torch.randn(1, 3, requires_grad=True)
    MinibatchStddev(4)(h).sum().backward()
    assert h.grad is not None and h.grad.isfinite().all()


def test_minibatch_stddev_says_that_it_does_not_divide() -> None:
    with pytest.raises(ValueError, match="minibatch_stddev=4 must divide the 6 images of a micro-batch"):
        MinibatchStddev(4)(torch.zeros(6, 2))


def spectral(width: int = 8) -> Discriminator:
    config = DCGANConfig(width=width, norm="none", minibatch_discrimination=2)
    features = Features(config, CARD)
    network = Discriminator(features, features.width, config, classes=10)
    normalise_spectrally(network)
    return network


def test_spectral_normalisation_bounds_every_layer() -> None:
    network, x, label = spectral(), images().image, torch.arange(4)
    for _ in range(100):
        network(x, label)
    layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.Embedding)]
    assert len(layers) == 4  # a convolution, minibatch discrimination, the score, the projection
    for layer in layers:
        assert float(matrix_norm(layer.weight.detach().flatten(1), 2)) == pytest.approx(1, abs=1e-2)


def test_a_spectrally_normalised_network_is_copied_after_it_was_used() -> None:
    network, x, label = spectral(), images().image, torch.arange(4)
    network(x, label)
    other = copy.deepcopy(network)
    assert torch.equal(network(x, label), other(x, label))
    with torch.no_grad():
        next(other.parameters()).add_(1)
    assert not torch.equal(network(x, label), other(x, label))


def test_the_state_of_spectral_normalisation_is_all_of_it() -> None:
    network, x, label = spectral(), images().image, torch.arange(4)
    network(x, label)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    assert {key.rsplit(".", 1)[-1] for key in state} >= {"_u", "_v"}
    other = spectral()
    other.load_state_dict(state)
    assert all(torch.equal(value, state[key]) for key, value in other.state_dict().items())
    for _ in range(3):
        assert torch.equal(network(x, label), other(x, label))
    assert torch.equal(network.eval()(x, label), other.eval()(x, label))


def test_power_iteration_rests_outside_of_training() -> None:
    network, x, label = spectral().eval(), images().image, torch.arange(4)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert torch.equal(network(x, label), network(x, label))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
