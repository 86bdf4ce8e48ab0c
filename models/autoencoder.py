"""Hinton & Salakhutdinov 2006, Reducing the Dimensionality of Data with Neural Networks.

https://www.cs.toronto.edu/~hinton/absps/science.pdf

    min E[|x - g(f(x))|^2]   with a code f(x) far smaller than x

Ours is trained end to end with ReLU and Adam, where the paper pre-trains sigmoid layers one by one. It has no
distribution over codes, so it does not generate: sampling reconstructs the images it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from models import family
from models.family import Batch, Card, Family, Noise, Phase, Terms
from models.layers import adam, mlp, to_image


class Config(family.Config):
    """Hyperparameters of the autoencoder."""

    latent: int = Field(32, ge=1)  # numbers in a code
    widths: tuple[int, ...] = (256, 128)  # of the encoder's hidden layers; the decoder mirrors them
    lr: float = Field(1e-3, gt=0)  # of Adam


class Generator(family.Generator):
    """Encoder f and decoder g, dense."""

    def __init__(self, config: Config, card: Card):
        super().__init__()
        channels, height, width = card.shape
        sizes = [channels * height * width, *config.widths, config.latent]
        self.encoder = nn.Sequential(nn.Flatten(), mlp(sizes))
        self.decoder = nn.Sequential(mlp(sizes[::-1]), nn.Tanh(), nn.Unflatten(1, card.shape))

    def forward(self, x: Tensor) -> Tensor:
        """g(f(x)), (N, C, H, W)."""
        return self.decoder(self.encoder(x))

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """Reconstructions of `batch.image`; `noise` plays no part."""
        assert batch.image is not None, "an autoencoder samples from images"
        return to_image(self(batch.image))


class Autoencoder(Family):
    """A dense autoencoder, judged by what it reconstructs."""

    Config = Config
    paper = (
        "Hinton & Salakhutdinov 2006, Reducing the Dimensionality of Data with Neural Networks, "
        "https://www.cs.toronto.edu/~hinton/absps/science.pdf"
    )
    task: ClassVar[str] = "reconstruct"

    def __init__(self, config: Config, card: Card, upstream: Mapping[str, nn.Module] | None = None):
        super().__init__(config, card, upstream)
        self.generator: Generator = Generator(config, card)
        self.phases = (Phase("reconstruct", self.loss, adam(self.generator, lr=config.lr)),)

    def loss(self, batch: Batch) -> Terms:
        """E[|x - g(f(x))|^2], per pixel."""
        assert batch.image is not None
        x_hat = self.generator(batch.image).float()
        return {"mse": (batch.image - x_hat).square().flatten(1).mean(1)}
