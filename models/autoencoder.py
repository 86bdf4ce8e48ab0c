"""Hinton & Salakhutdinov 2006, Reducing the Dimensionality of Data with Neural Networks.

https://www.cs.toronto.edu/~hinton/absps/science.pdf

    min E[|x - g(f(x~))|^2],   with a code f(x) of far lower dimension than x

We train all layers jointly with ReLU and Adam; the paper pre-trains sigmoid layers one by one. x~ is x or, in
the denoising autoencoder of Vincent et al. 2008
(https://www.cs.toronto.edu/~larocheh/publications/icml-2008-denoising-autoencoders.pdf), a corrupted x; the
target is the clean image. Codes have no distribution to sample from, so the model only reconstructs images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from models import family
from models.data_spec import DataSpec
from models.family import Batch, Family, Noise, Phase, Terms
from models.parts.augment import translation
from models.parts.coders import CoderConfig, Decoder, Encoder
from models.parts.layers import adam, to_image
from models.search_space import tunable


class AutoencoderConfig(CoderConfig):
    """Hyperparameters of the autoencoder: by default 784-256-128-32 and back, for digits."""

    # fmt: off
    network: Literal["dense", "conv"] = tunable("dense",  # conv for larger and colour images
        source="Hinton & Salakhutdinov 2006: dense for digits")
    latent: int = tunable(32, ge=1, low=8, high=64, log=True, recommended=30,  # numbers in a code
        source="Hinton & Salakhutdinov 2006: 30 for digits")
    widths: tuple[PositiveInt, ...] = tunable((256, 128),
        choices=((128,), (256, 128), (512, 256), (512, 256, 128), (1000, 500, 250)),
        recommended=(1000, 500, 250), active_if=("network", "dense"),
        source="Hinton & Salakhutdinov 2006: 1000, 500, 250 for digits")
    activation: Literal["relu", "silu", "gelu"] = tunable("relu", advises=False,
        source="this project: what is usual now")
    # Standard deviation of the noise added to inputs, of pixels in [0, 1].
    noise: float = tunable(0.0, ge=0, low=0.0, high=0.5,
        source="Vincent et al. 2008: spoil inputs; how much is to be searched")
    # Share of an input's pixels that are set to black.
    masked: float = tunable(0.0, ge=0, lt=1, low=0.0, high=0.5,
        source="Vincent et al. 2008: spoil inputs; how much is to be searched")
    shift: int = Field(0, ge=0)  # input and target are translated by up to this number of pixels
    lr: float = tunable(1e-3, gt=0, low=1e-4, high=4e-3, log=True,  # of Adam
        source="pythae's settings: 1e-3 for MNIST, 1e-4 else")
    weight_decay: float = Field(0.0, ge=0)  # decoupled


class Generator(family.Generator):
    """Encoder f and decoder g."""

    def __init__(self, config: AutoencoderConfig, card: DataSpec):
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
        """Reconstructions of `batch.image`; `noise` is not used."""
        return self.picture(self.code(batch), batch)


class Autoencoder(Family):
    """An autoencoder, evaluated by its reconstructions."""

    Config = AutoencoderConfig
    paper = (
        "Hinton & Salakhutdinov 2006, Reducing the Dimensionality of Data with Neural Networks, "
        "https://www.cs.toronto.edu/~hinton/absps/science.pdf"
    )
    task = "reconstruct"
    codes = True

    def __init__(
        self, config: AutoencoderConfig, card: DataSpec, upstream: Mapping[str, nn.Module] | None = None
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
        out = self.generator(self.corrupted(x)).float()
        return {"mse": mse_loss(out, x)}, {"mae": l1_loss(out.detach(), x) / 2}

    def corrupted(self, x: Tensor) -> Tensor:
        """x~, in training: x with added noise and masked pixels. Vincent et al. 2008."""
        c = self.config
        if self.training and c.noise:
            # `noise` refers to [0, 1]; the range [-1, 1] is twice as wide.
            x = (x + 2 * c.noise * torch.randn_like(x)).clamp(-1, 1)
        if self.training and c.masked:
            black = torch.rand_like(x[:, :1]) < c.masked
            x = torch.where(black, -1.0, x)
        return x
