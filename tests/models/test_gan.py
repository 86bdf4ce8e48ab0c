"""The plain GAN's discriminator."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models.family import Batch, Card
from models.gan import GANConfig
from models.parts.discriminator import (
    Discriminator,
)

pytestmark = pytest.mark.usefixtures("seeded")

CARD = Card(1, 8, 10)


PIXELS = 64


def images(n: int = 4, *, card: Card = CARD, labelled: bool = False) -> Batch:
    return Batch(n, torch.rand(n, *card.shape) * 2 - 1, torch.arange(n) % 10 if labelled else None)


def flat(x: Tensor | None) -> Tensor:
    assert x is not None
    return x.detach().flatten(1)


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
