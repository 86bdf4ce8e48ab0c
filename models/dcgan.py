"""Radford, Metz & Chintala 2016, Unsupervised Representation Learning with Deep Convolutional GANs.

https://arxiv.org/abs/1511.06434

    D: min E[-log D(x)] + E[-log(1 - D(G(z)))]        G: min E[-log D(G(z))]

The networks are as deep as the resolution allows (three strided convolutions at 28x28, the paper's four at
64x64), and z is normal instead of uniform. Other families use these networks with another objective.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from models import family
from models.adversarial import Adversarial
from models.adversarial_config import FromNoiseConfig, Norm
from models.data_spec import DataSpec
from models.family import Batch, Noise
from models.parts.discriminator import Discriminator
from models.parts.layers import down, shapes, to_image, up
from models.search_space import tunable


class DCGANConfig(FromNoiseConfig):
    """Hyperparameters of DCGAN: the paper's (Sec. 4) except for the width."""

    width: int = tunable(  # channels of the largest feature maps (paper: 128); doubled at each halving
        32, ge=1, choices=(16, 32, 64, 128), recommended=128, source="Radford et al. 2016, Fig. 1: 128"
    )
    max_width: int = Field(512, ge=1)  # doubling stops here (paper: 1024)
    # In D, after all but the first convolution.
    norm: Norm = tunable("batch", source="Radford et al. 2016, Sec. 3: batch")


@torch.no_grad()
def initialise(module: nn.Module) -> None:
    """Draw weights from N(0, 0.02^2), Sec. 4, and BatchNorm's scales from N(1, 0.02^2), as the authors do."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
        module.weight.normal_(0, 0.02)
    if isinstance(module, nn.BatchNorm2d):
        module.weight.normal_(1, 0.02)


class Generator(family.Generator):
    """z -> project -> fractionally strided convolutions -> tanh, with BatchNorm and ReLU between. Fig. 1."""

    def __init__(self, config: DCGANConfig, card: DataSpec, conditions: int = 0):
        super().__init__()
        sizes, widths = shapes(card.resolution, config.width, config.max_width, card.channels)
        self.latent, self.size = config.latent, sizes[-1]
        self.project = nn.Linear(config.latent + conditions, sizes[-1] ** 2 * widths[-1], bias=False)
        layers: list[nn.Module] = []
        for i in reversed(range(len(sizes) - 1)):
            layers += [nn.BatchNorm2d(widths[i + 1]), nn.ReLU()]
            layers += [up(widths[i + 1], widths[i], sizes[i], bias=False)]
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """G(z), (N, C, H, W); the label is not used."""
        h = self.project(z).unflatten(1, (self.size, self.size, -1))  # (N, 3, 3, 128)
        # Channels stay last in memory, which the convolutions need.
        return self.layers(h.permute(0, 3, 1, 2))

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """G(z), z ~ N(0, I)."""
        return to_image(self(noise(self.latent), batch.label))


class Features(nn.Module):
    """Strided convolutions with LeakyReLU and, with norm: batch, BatchNorm after all but the first."""

    def __init__(self, config: DCGANConfig, card: DataSpec, conditions: int = 0):
        super().__init__()
        sizes, widths = shapes(card.resolution, config.width, config.max_width, card.channels)
        normed = config.norm == "batch"
        layers: list[nn.Module] = [down(widths[0] + conditions, widths[1]), nn.LeakyReLU(0.2)]
        for before, after in itertools.pairwise(widths[1:]):
            layers += [down(before, after, bias=not normed)]
            layers += [nn.BatchNorm2d(after)] if normed else []
            layers += [nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.width = sizes[-1] ** 2 * widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, width)."""
        return self.layers(x).permute(0, 2, 3, 1).flatten(1)  # in memory order, without a copy


class DCGAN(Adversarial):
    """An unconditional GAN of convolutional networks."""

    Config = DCGANConfig
    config: DCGANConfig
    paper = (
        "Radford, Metz & Chintala 2016, Unsupervised Representation Learning with Deep Convolutional "
        "Generative Adversarial Networks, https://arxiv.org/abs/1511.06434"
    )

    def networks(self, config: Any, card: DataSpec) -> tuple[family.Generator, nn.Module]:
        """Return G and D with the paper's initial weights."""
        generator, features = Generator(config, card), Features(config, card)
        discriminator = Discriminator(features, features.width, config)
        generator.apply(initialise)
        if config.norm == "batch":  # without BatchNorm such small weights would suppress the signal
            discriminator.apply(initialise)
        return generator, discriminator
