"""Mirza & Osindero 2014, Conditional Generative Adversarial Nets.

https://arxiv.org/abs/1411.1784

    D: min E[-log D(x|y)] + E[-log(1 - D(G(z|y)|y))]        G: min E[-log D(G(z|y)|y)]

y enters by concatenation: with z in G, as one-hot planes with x in D. With condition: projection, y enters D
by an inner product instead, Miyato & Koyama 2018, https://arxiv.org/abs/1802.05637. The networks are DCGAN's;
the paper's are dense. G gets the labels of the batch, so that classes are as frequent as in the data.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from models import dcgan, family
from models.adversarial import Adversarial
from models.data_spec import DataSpec
from models.parts.discriminator import Discriminator
from models.search_space import tunable


class CGANConfig(dcgan.DCGANConfig):
    """Hyperparameters of the conditional GAN: DCGAN's, and how D is conditioned."""

    condition: Literal["concatenation", "projection"] = tunable(
        "concatenation", recommended="projection", source="Miyato & Koyama 2018: projection"
    )


class Generator(dcgan.Generator):
    """G(z|y): DCGAN's generator of (z, one-hot y)."""

    def __init__(self, config: CGANConfig, card: DataSpec):
        super().__init__(config, card, conditions=card.num_classes)
        self.num_classes = card.num_classes

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """(N, C, H, W)."""
        assert label is not None
        return super().forward(torch.cat([z, one_hot(label, self.num_classes).to(z.dtype)], 1))


class Planes(nn.Module):
    """D(x|y), called with x and a plane for each class, ones for y and zeros for the others."""

    def __init__(self, discriminator: Discriminator, num_classes: int):
        super().__init__()
        self.discriminator, self.num_classes = discriminator, num_classes

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """The score, (N,)."""
        planes = one_hot(label, self.num_classes).to(x.dtype)[:, :, None, None]
        planes = planes.expand(-1, -1, *x.shape[2:])  # (N, classes, H, W)
        both = torch.cat([x, planes], 1).contiguous(memory_format=torch.channels_last)
        return self.discriminator(both)


class CGAN(Adversarial):
    """A class-conditional GAN of convolutional networks."""

    Config = CGANConfig
    config: CGANConfig
    paper = "Mirza & Osindero 2014, Conditional Generative Adversarial Nets, https://arxiv.org/abs/1411.1784"
    needs = frozenset({"label"})

    def networks(self, config: Any, card: DataSpec) -> tuple[family.Generator, nn.Module]:
        """Return G and D with DCGAN's initial weights."""
        if not card.num_classes:
            raise ValueError("a conditional GAN needs labels, and the data has none")
        discriminator: nn.Module
        if config.condition == "projection":
            features = dcgan.Features(config, card)
            discriminator = Discriminator(features, features.width, config, card.num_classes)
        else:
            features = dcgan.Features(config, card, card.num_classes)
            discriminator = Planes(Discriminator(features, features.width, config), card.num_classes)
        generator = Generator(config, card)
        generator.apply(dcgan.initialise)
        if config.norm == "batch":
            discriminator.apply(dcgan.initialise)
        return generator, discriminator
