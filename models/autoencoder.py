"""Hinton & Salakhutdinov 2006, Reducing the Dimensionality of Data with Neural Networks.

https://www.cs.toronto.edu/~hinton/absps/science.pdf

    min E[|x - g(f(x))|^2],   with far fewer numbers in the code f(x) than in x

Ours learns all layers at once with ReLU and Adam, where the paper pre-trains sigmoid layers one by one. Codes
have no distribution to draw from, so an autoencoder does not generate: it reconstructs what it is given.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from models import family
from models.family import Batch, Card, Config, Family, Noise, Phase, Terms
from models.layers import adam, to_image


class AutoencoderConfig(Config):
    """Hyperparameters of the autoencoder."""

    latent: int = Field(32, ge=1)  # numbers in a code; the paper has 30 for digits
    widths: tuple[PositiveInt, ...] = (
        256,
        128,
    )  # units of the encoder's hidden layers; the decoder mirrors them
    lr: float = Field(1e-3, gt=0)  # of Adam


def mlp(widths: Sequence[int]) -> nn.Sequential:
    """Dense layers from widths[0] to widths[-1], a ReLU between any two."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Generator(family.Generator):
    """Encoder f and decoder g."""

    def __init__(self, config: AutoencoderConfig, card: Card):
        super().__init__()
        widths = [math.prod(card.shape), *config.widths, config.latent]  # 784, 256, 128, 32
        self.encoder = nn.Sequential(nn.Flatten(), mlp(widths))
        self.decoder = nn.Sequential(mlp(widths[::-1]), nn.Tanh(), nn.Unflatten(1, card.shape))

    def forward(self, x: Tensor) -> Tensor:
        """g(f(x)), (N, C, H, W)."""
        return self.decoder(self.encoder(x))

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """Reconstructions of `batch.image`; `noise` plays no part."""
        assert batch.image is not None
        return to_image(self(batch.image))


class Autoencoder(Family):
    """A dense autoencoder, judged by what it reconstructs."""

    Config = AutoencoderConfig
    paper = (
        "Hinton & Salakhutdinov 2006, Reducing the Dimensionality of Data with Neural Networks, "
        "https://www.cs.toronto.edu/~hinton/absps/science.pdf"
    )
    task = "reconstruct"

    def __init__(
        self, config: AutoencoderConfig, card: Card, upstream: Mapping[str, nn.Module] | None = None
    ):
        super().__init__(config, card, upstream)
        if config.latent >= (pixels := math.prod(card.shape)):
            raise ValueError(f"latent={config.latent} must be less than an image's {pixels} numbers")
        self.generator: Generator = Generator(config, card)
        self.phases = (Phase("reconstruct", self.loss, adam(self.generator, lr=config.lr)),)

    def loss(self, batch: Batch) -> Terms:
        """E[|x - g(f(x))|^2], per pixel."""
        assert batch.image is not None
        error = batch.image - self.generator(batch.image).float()
        return {"mse": error.square().flatten(1).mean(1)}
