"""Radford, Metz & Chintala 2016, Unsupervised Representation Learning with Deep Convolutional GANs.

https://arxiv.org/abs/1511.06434

    D: min E[-log D(x)] + E[-log(1 - D(G(z)))]        G: min E[-log D(G(z))]

As deep as the resolution allows (three strided convolutions at 28x28, the paper's four at 64x64), and z is
normal, not uniform. D sees images and samples in batches of their own: BatchNorm would mix their statistics.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from models import family
from models.family import Batch, Card, Config, Family, Noise, Phase, Terms
from models.layers import adam, down, halvings, to_image, up
from models.losses import fake_is_fake, non_saturating, real_is_real


class DCGANConfig(Config):
    """Hyperparameters of DCGAN, the paper's but for the width."""

    latent: int = Field(100, ge=1)  # dimensions of z
    width: int = Field(32, ge=1)  # channels of the largest feature maps (paper: 128); doubled at each halving
    max_width: int = Field(512, ge=1)  # doubling stops here (paper: 1024)
    lr: float = Field(2e-4, gt=0)  # of Adam, both networks; runs of a few minutes do better at 1e-3
    beta1: float = Field(0.5, ge=0, lt=1)  # of Adam; at 0.9 training oscillates, Sec. 3


def shapes(config: DCGANConfig, card: Card) -> tuple[list[int], list[int]]:
    """Sizes and channels of the feature maps, the image first: 28, 14, 7, 3 and 1, 32, 64, 128."""
    sizes = halvings(card.resolution)
    widths = [min(config.width * 2**i, config.max_width) for i in range(len(sizes) - 1)]
    return sizes, [card.channels, *widths]


@torch.no_grad()
def initialise(module: nn.Module) -> None:
    """Weights N(0, 0.02^2), Sec. 4; BatchNorm's scales N(1, 0.02^2), as in the authors' code."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        module.weight.normal_(0, 0.02)
    if isinstance(module, nn.BatchNorm2d):
        module.weight.normal_(1, 0.02)


class Generator(family.Generator):
    """z -> project -> fractionally strided convolutions -> tanh, with BatchNorm and ReLU between. Fig. 1."""

    def __init__(self, config: DCGANConfig, card: Card):
        super().__init__()
        sizes, widths = shapes(config, card)
        self.latent, self.size = config.latent, sizes[-1]
        self.project = nn.Linear(config.latent, sizes[-1] ** 2 * widths[-1], bias=False)
        layers: list[nn.Module] = []
        for i in reversed(range(len(sizes) - 1)):
            layers += [nn.BatchNorm2d(widths[i + 1]), nn.ReLU()]
            layers += [up(widths[i + 1], widths[i], sizes[i], bias=False)]
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """G(z), (N, C, H, W)."""
        h = self.project(z).unflatten(1, (self.size, self.size, -1))  # (N, 3, 3, 128)
        # Channels stay last in memory, the order the convolutions work in.
        return self.layers(h.permute(0, 3, 1, 2))

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """G(z), z ~ N(0, I)."""
        return to_image(self(noise(self.latent)))


class Discriminator(nn.Module):
    """Strided convolutions and LeakyReLU, with BatchNorm after all but the first, then one logit."""

    def __init__(self, config: DCGANConfig, card: Card):
        super().__init__()
        sizes, widths = shapes(config, card)
        layers: list[nn.Module] = [down(widths[0], widths[1]), nn.LeakyReLU(0.2)]
        for before, after in itertools.pairwise(widths[1:]):
            layers += [down(before, after, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.logit = nn.Linear(sizes[-1] ** 2 * widths[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        """The logit of D(x), (N,)."""
        h = self.layers(x).permute(0, 2, 3, 1)  # (N, 3, 3, 128), as it lies in memory
        return self.logit(h.flatten(1)).squeeze(1).float()


class DCGAN(Family):
    """D, then G, once each per step; unconditional."""

    Config = DCGANConfig
    paper = (
        "Radford, Metz & Chintala 2016, Unsupervised Representation Learning with Deep Convolutional "
        "Generative Adversarial Networks, https://arxiv.org/abs/1511.06434"
    )

    def __init__(self, config: DCGANConfig, card: Card, upstream: Mapping[str, nn.Module] | None = None):
        super().__init__(config, card, upstream)
        self.generator: Generator = Generator(config, card)
        self.discriminator = Discriminator(config, card)
        self.apply(initialise)
        betas = (config.beta1, 0.999)
        of_d = adam(self.discriminator, lr=config.lr, betas=betas)
        of_g = adam(self.generator, lr=config.lr, betas=betas)
        self.phases = (
            Phase("discriminator", self.discriminator_loss, of_d),
            Phase("generator", self.generator_loss, of_g),
        )

    def fake(self, batch: Batch) -> Tensor:
        """G(z), as many as there are images in `batch`."""
        assert batch.image is not None
        return self.generator(torch.randn(len(batch), self.config.latent, device=batch.image.device))

    def discriminator_loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """-log D(x) - log(1 - D(G(z))), Goodfellow et al. 2014, Eq. 1."""
        real, fake = self.discriminator(batch.image), self.discriminator(self.fake(batch))
        terms = {"real": real_is_real(real), "fake": fake_is_fake(fake)}
        return terms, {"D(x)": real.sigmoid(), "D(G(z))": fake.sigmoid()}

    def generator_loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """-log D(G(z)), the non-saturating loss."""
        fake = self.discriminator(self.fake(batch))
        return {"score": non_saturating(fake)}, {"D(G(z))": fake.sigmoid()}
