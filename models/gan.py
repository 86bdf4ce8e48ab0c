"""Goodfellow et al. 2014, Generative Adversarial Networks.

https://arxiv.org/abs/1406.2661

    D: min E[-log D(x)] + E[-log(1 - D(G(z)))]        G: min E[-log D(G(z))]

loss: minimax trains G on E[log(1 - D(G(z)))] instead. The networks are dense, with ReLU in G as in the paper;
D has LeakyReLU instead of the paper's maxout and dropout. We use Adam instead of momentum.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from pydantic import PositiveInt
from torch import Tensor, nn

from models import family
from models.adversarial import Adversarial
from models.adversarial_config import FromNoiseConfig
from models.data_spec import DataSpec
from models.family import Batch, Noise
from models.parts.discriminator import Discriminator
from models.parts.layers import to_image
from models.search_space import tunable


class GANConfig(FromNoiseConfig):
    """Hyperparameters of the dense GAN."""

    # fmt: off
    # Units of G's hidden layers; D mirrors them.
    widths: tuple[PositiveInt, ...] = tunable((256, 512), min_length=1,
        choices=((128, 256), (256, 512), (512, 1024), (128, 256, 512, 1024)),
        recommended=(128, 256, 512, 1024), source="PyTorch-GAN: 128, 256, 512, 1024")


def dense(widths: Sequence[int], activation: nn.Module) -> nn.Sequential:
    """Dense layers from widths[0] to widths[-1], each followed by the activation."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), activation]
    return nn.Sequential(*layers)


class Generator(family.Generator):
    """z -> hidden layers -> tanh -> an image."""

    def __init__(self, config: GANConfig, card: DataSpec):
        super().__init__()
        self.latent = config.latent
        self.hidden = dense([config.latent, *config.widths], nn.ReLU())
        self.image = nn.Sequential(
            nn.Linear(config.widths[-1], math.prod(card.shape)), nn.Tanh(), nn.Unflatten(1, card.shape)
        )

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """G(z), (N, C, H, W); the label is not used."""
        return self.image(self.hidden(z))

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """G(z), z ~ N(0, I)."""
        return to_image(self(noise(self.latent)))


class GAN(Adversarial):
    """An unconditional GAN of dense networks."""

    Config = GANConfig
    config: GANConfig
    paper = "Goodfellow et al. 2014, Generative Adversarial Networks, https://arxiv.org/abs/1406.2661"

    def networks(self, config: Any, card: DataSpec) -> tuple[family.Generator, nn.Module]:
        """Return G and D, which mirror each other."""
        features = nn.Sequential(
            nn.Flatten(), dense([math.prod(card.shape), *config.widths[::-1]], nn.LeakyReLU(0.2))
        )
        return Generator(config, card), Discriminator(features, config.widths[0], config)
