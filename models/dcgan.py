"""Radford, Metz & Chintala 2016, Unsupervised Representation Learning with Deep Convolutional GANs.

https://arxiv.org/abs/1511.06434

    D: min E[-log D(x)] + E[-log(1 - D(G(z)))]        G: min E[-log D(G(z))]

Depth follows the resolution (28x28 has two strided convolutions, 64x64 the paper's four), z is normal rather than
uniform, and images are never augmented. D sees real and generated images in separate batches, as its BatchNorm needs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from models import family
from models.family import Batch, Card, Family, Noise, Phase, Terms
from models.layers import adam, halvings, to_image
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


def up(before: int, after: int, size: int) -> nn.ConvTranspose2d:
    """Doubles a feature map, to `size` pixels, which may be odd."""
    return nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, output_padding=size % 2, bias=False)


def down(before: int, after: int) -> nn.Conv2d:
    """Halves a feature map."""
    return nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False)


class Generator(family.Generator):
    """z -> project -> fractionally strided convolutions -> tanh, BatchNorm and ReLU between. Fig. 1."""

    def __init__(self, config: Config, card: Card):
        super().__init__()
        self.latent = config.latent
        sizes = halvings(card.resolution)  # 28, 14, 7
        widths = channels(config, sizes)  # 64, 128
        layers: list[nn.Module] = [
            nn.Linear(config.latent, widths[-1] * sizes[-1] ** 2, bias=False),
            nn.Unflatten(1, (widths[-1], sizes[-1], sizes[-1])),
        ]
        for i in range(len(widths) - 1, 0, -1):
            layers += [nn.BatchNorm2d(widths[i]), nn.ReLU(), up(widths[i], widths[i - 1], sizes[i])]
        layers += [nn.BatchNorm2d(widths[0]), nn.ReLU(), up(widths[0], card.channels, sizes[0]), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """G(z), (N, C, H, W)."""
        return self.layers(z)

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """G(z), z ~ N(0, I)."""
        return to_image(self(noise(self.latent)))


class Discriminator(nn.Sequential):
    """Strided convolutions with LeakyReLU, BatchNorm in all but the first, then one logit: (N, C, H, W) -> (N,)."""

    def __init__(self, config: Config, card: Card):
        sizes = halvings(card.resolution)
        widths = channels(config, sizes)
        layers: list[nn.Module] = [down(card.channels, widths[0]), nn.LeakyReLU(0.2)]
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [down(before, after), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Flatten(), nn.Linear(widths[-1] * sizes[-1] ** 2, 1), nn.Flatten(0))


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
