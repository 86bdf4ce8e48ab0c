"""The plain GAN's discriminator."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.gan import GANConfig
from models.parts.discriminator import (
    Discriminator,
)
from tests.models.test_adversarial import PIXELS, flat, images

pytestmark = pytest.mark.usefixtures("seeded")


def test_statistics_enter_the_score_beside_the_features() -> None:
    config = GANConfig(minibatch_discrimination=5, minibatch_stddev=2)
    network, x = Discriminator(nn.Flatten(), PIXELS, config), images().image
    assert x is not None
    h = flat(x)
    beside = torch.cat([h, *(statistic(h) for statistic in network.statistics)], 1)
    assert beside.shape == (4, PIXELS + 5 + 1)
    torch.testing.assert_close(network(x), network.score(beside)[:, 0])


def test_spectral_normalisation_may_be_unrolled() -> None:
    assert GANConfig(unrolled_steps=1, spectral_norm=True).penalties == ["spectral_norm"]
