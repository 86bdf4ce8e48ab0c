"""Hinton & Salakhutdinov 2006, Reducing the Dimensionality of Data with Neural Networks.

https://www.cs.toronto.edu/~hinton/absps/science.pdf

    min E[|x - g(f(x~))|^2],   with far fewer numbers in the code f(x) than in x

Ours learns all layers at once with ReLU and Adam, where the paper pre-trains sigmoid layers one by one. x~ is
x, or x spoilt by noise: then it is the denoising autoencoder of Vincent et al. 2008
(https://www.cs.toronto.edu/~larocheh/publications/icml-2008-denoising-autoencoders.pdf), whose target stays
the clean image. Codes have no distribution to draw from, so an autoencoder does not generate: it reconstructs
what it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from models import family
from models.family import Batch, Card, Family, Noise, Phase, Terms
from models.parts.augment import translation
from models.parts.coders import CoderConfig, Decoder, Encoder
from models.parts.layers import adam, to_image
from models.search_space import Choice, Range


class AutoencoderConfig(CoderConfig):
    """Hyperparameters of the autoencoder: by default 784-256-128-32 and back, for digits."""

    # Conv for larger and colour images.
    network: Annotated[
        Literal["dense", "conv"],
        Choice(
            ("dense", "conv"), source="Hinton & Salakhutdinov 2006: dense for digits", recommended="dense"
        ),
    ] = "dense"
    # Numbers in a code.
    latent: Annotated[
        int, Range(8, 64, "log", source="Hinton & Salakhutdinov 2006: 30 for digits", recommended=30)
    ] = Field(32, ge=1)
    widths: Annotated[
        tuple[PositiveInt, ...],
        Choice(
            ((128,), (256, 128), (512, 256), (512, 256, 128), (1000, 500, 250)),
            source="Hinton & Salakhutdinov 2006: 1000, 500, 250 for digits",
            where=("network", "dense"),
            recommended=(1000, 500, 250),
        ),
    ] = (256, 128)
    activation: Annotated[
        Literal["relu", "silu", "gelu"],
        Choice(("relu", "silu", "gelu"), source="this project: what is usual now", advises=False),
    ] = "relu"
    # Standard deviation of what is laid on inputs, of pixels in [0, 1].
    noise: Annotated[
        float, Range(0.0, 0.5, source="Vincent et al. 2008: spoil inputs; how much is to be searched")
    ] = Field(0.0, ge=0)
    # Share of an input's pixels that are set to black.
    masked: Annotated[
        float, Range(0.0, 0.5, source="Vincent et al. 2008: spoil inputs; how much is to be searched")
    ] = Field(0.0, ge=0, lt=1)
    shift: int = Field(0, ge=0)  # images move by up to so many pixels, input and target alike
    # Of Adam.
    lr: Annotated[
        float,
        Range(1e-4, 4e-3, "log", source="pythae's settings: 1e-3 for MNIST, 1e-4 else", recommended=1e-3),
    ] = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)  # decoupled


class Generator(family.Generator):
    """Encoder f and decoder g."""

    def __init__(self, config: AutoencoderConfig, card: Card):
        super().__init__()
        self.latent = config.latent
        self.encoder, self.decoder = Encoder(config, card, config.latent), Decoder(config, card)

    def forward(self, x: Tensor) -> Tensor:
        """g(f(x)), (N, C, H, W)."""
        return self.decoder(self.encoder(x)).tanh()

    def code(self, batch: Batch) -> Tensor:
        """f(x), (N, Z)."""
        assert batch.image is not None
        return self.encoder(batch.image)

    def picture(self, z: Tensor, batch: Batch) -> Tensor:
        """g(z), (N, C, H, W) in [-1, 1]."""
        return to_image(self.decoder(z).tanh())

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """Reconstructions of `batch.image`; `noise` plays no part."""
        return self.picture(self.code(batch), batch)


class Autoencoder(Family):
    """An autoencoder, judged by what it reconstructs."""

    Config = AutoencoderConfig
    paper = (
        "Hinton & Salakhutdinov 2006, Reducing the Dimensionality of Data with Neural Networks, "
        "https://www.cs.toronto.edu/~hinton/absps/science.pdf"
    )
    task = "reconstruct"
    codes = True

    def __init__(
        self, config: AutoencoderConfig, card: Card, upstream: Mapping[str, nn.Module] | None = None
    ):
        super().__init__(config, card, upstream)
        config.check(card)
        self.generator: Generator = Generator(config, card)
        optimizer = adam(self.generator, lr=config.lr, weight_decay=config.weight_decay)
        self.phases = (Phase("reconstruct", self.loss, optimizer),)

    def loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """E[|x - g(f(x~))|^2], per pixel of [-1, 1]; observed: E[|x - g(f(x~))|], of [0, 1]."""
        assert batch.image is not None
        x = batch.image
        if self.training and self.config.shift:
            x = translation(x, self.config.shift)
        out = self.generator(self.spoilt(x)).float()
        return {"mse": mse_loss(out, x)}, {"mae": l1_loss(out.detach(), x) / 2}

    def spoilt(self, x: Tensor) -> Tensor:
        """What the encoder sees in training: x with noise on it and pixels blackened. Vincent et al. 2008."""
        c = self.config
        if self.training and c.noise:
            # The range [-1, 1] is two wide, and images end there, noisy ones too.
            x = (x + 2 * c.noise * torch.randn_like(x)).clamp(-1, 1)
        if self.training and c.masked:
            black = torch.rand_like(x[:, :1]) < c.masked
            x = torch.where(black, -1.0, x)
        return x
