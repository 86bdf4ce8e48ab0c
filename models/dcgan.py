"""Radford, Metz & Chintala 2016, Unsupervised Representation Learning with Deep Convolutional GANs.

https://arxiv.org/abs/1511.06434

    D: min E[-log D(x)] + E[-log(1 - D(G(z)))]        G: min E[-log D(G(z))]

Depth follows the resolution (28x28 has two strided convolutions, 64x64 the paper's four), z is normal rather than
uniform, and images are never augmented. D sees real and generated images in separate batches, as its BatchNorm needs.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from models import family
from models.family import Batch, Card, Family, Noise, Phase, Terms
from models.layers import adam, down, halvings, to_image, up
from models.losses import fake_is_fake, non_saturating, real_is_real


class Config(family.Config):
    """Hyperparameters of DCGAN; defaults from the paper, but for the width."""

    latent: int = Field(100, ge=1)  # dimensions of z
    width: int = Field(64, ge=1)  # channels of the largest feature maps; doubled at each halving (paper: 128)
    max_width: int = Field(512, ge=1)  # doubling stops here
    lr: float = Field(2e-4, gt=0)  # of Adam, both networks
    beta1: float = Field(0.5, ge=0, lt=1)  # of Adam


def channels(config: Config, sizes: list[int]) -> list[int]:
    """Channels of the feature maps of `sizes[1:]`, largest map first."""
    return [min(config.width * 2**i, config.max_width) for i in range(len(sizes) - 1)]


@torch.no_grad()
def initialise(module: nn.Module) -> None:
    """Weights N(0, 0.02), BatchNorm scales N(1, 0.02). Sec. 3."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0, 0.02)
    if isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1, 0.02)


class Generator(family.Generator):
    """z -> project -> fractionally strided convolutions -> tanh, with BatchNorm and ReLU between. Fig. 1."""

    def __init__(self, config: Config, card: Card):
        super().__init__()
        self.latent = config.latent
        sizes = halvings(card.resolution)  # 28, 14, 7
        widths = [card.channels, *channels(config, sizes)]  # 1, 64, 128
        self.size = sizes[-1]
        self.project = nn.Linear(config.latent, self.size**2 * widths[-1], bias=False)
        layers: list[nn.Module] = []
        for i in reversed(range(len(sizes) - 1)):
            layers += [nn.BatchNorm2d(widths[i + 1]), nn.ReLU(), up(widths[i + 1], widths[i], sizes[i], bias=False)]
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """G(z), (N, C, H, W)."""
        h = self.project(z).unflatten(1, (self.size, self.size, -1))  # (N, 7, 7, 128)
        return self.layers(h.permute(0, 3, 1, 2))  # so that channels are last in memory, as the convolutions have them

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """G(z), z ~ N(0, I)."""
        return to_image(self(noise(self.latent)))


class Discriminator(nn.Module):
    """Strided convolutions with LeakyReLU, BatchNorm in all but the first, then one logit."""

    def __init__(self, config: Config, card: Card):
        super().__init__()
        sizes = halvings(card.resolution)
        widths = channels(config, sizes)
        layers: list[nn.Module] = [down(card.channels, widths[0], bias=False), nn.LeakyReLU(0.2)]
        for before, after in itertools.pairwise(widths):
            layers += [down(before, after, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.logit = nn.Linear(sizes[-1] ** 2 * widths[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        """logit D(x), (N,)."""
        h = self.layers(x).permute(0, 2, 3, 1)  # (N, 7, 7, 128)
        return self.logit(h.flatten(1)).squeeze(1)


class DCGAN(Family):
    """D, then G, once each per step."""

    Config = Config
    paper = (
        "Radford, Metz & Chintala 2016, Unsupervised Representation Learning with Deep Convolutional "
        "Generative Adversarial Networks, https://arxiv.org/abs/1511.06434"
    )

    def __init__(self, config: Config, card: Card, upstream: Mapping[str, nn.Module] | None = None):
        super().__init__(config, card, upstream)
        self.generator: Generator = Generator(config, card)
        self.discriminator = Discriminator(config, card)
        self.apply(initialise).to(memory_format=torch.channels_last)
        betas = (config.beta1, 0.999)
        self.phases = (
            Phase("discriminator", self.discriminator_loss, adam(self.discriminator, lr=config.lr, betas=betas)),
            Phase("generator", self.generator_loss, adam(self.generator, lr=config.lr, betas=betas)),
        )

    def fake(self, batch: Batch) -> Tensor:
        """G(z), as many as there are images in `batch`."""
        assert batch.image is not None
        return self.generator(torch.randn(len(batch), self.config.latent, device=batch.image.device))

    def discriminator_loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """-log D(x) - log(1 - D(G(z)))"""
        real, fake = self.discriminator(batch.image), self.discriminator(self.fake(batch))
        terms = {"real": real_is_real(real), "fake": fake_is_fake(fake)}
        return terms, {"D(x)": real.float().sigmoid(), "D(G(z))": fake.float().sigmoid()}

    def generator_loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """-log D(G(z))"""
        fake = self.discriminator(self.fake(batch))
        return {"score": non_saturating(fake)}, {"D(G(z))": fake.float().sigmoid()}
