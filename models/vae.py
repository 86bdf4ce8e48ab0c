"""Kingma & Welling 2014, Auto-Encoding Variational Bayes.

https://arxiv.org/abs/1312.6114

    min E_q(z|x)[-log p(x|z)] + beta KL(q(z|x) || N(0, I)),   minus the ELBO where beta = 1

Encoder and decoder are convolutional, where the paper's are dense. beta is that of Higgins et al. 2017
(https://openreview.net/forum?id=Sy2fzU9gl); the Gaussian decoder is calibrated as in Rybkin et al. 2021.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from models import family
from models.family import Batch, Card, Config, Family, Noise, Phase, Terms
from models.layers import adam, down, shapes, to_image, up


class VAEConfig(Config):
    """Hyperparameters of the VAE."""

    latent: int = Field(16, ge=1)  # dimensions of z
    width: int = Field(32, ge=1)  # channels of the largest feature maps; doubled at each halving
    max_width: int = Field(128, ge=1)  # doubling stops here
    hidden: int = Field(256, ge=1)  # units of the dense layer beside z
    beta: float = Field(1.0, ge=0)  # weight of the KL term
    # bernoulli takes pixels as probabilities, for near-binary images; gaussian is for greys and colours
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"
    lr: float = Field(1e-3, gt=0)  # of Adam


def bernoulli_nll(x: Tensor, logit: Tensor) -> Tensor:
    """-log Bernoulli(x; sigmoid(logit)), (N,), for x in [0, 1]. Kingma & Welling 2014, App. C.1."""
    return binary_cross_entropy_with_logits(logit, x, reduction="none").flatten(1).sum(1)


def gaussian_nll(x: Tensor, mean: Tensor) -> Tensor:
    """-log N(x; mean, sigma^2 I), (N,), at the best sigma^2 for the batch, E[(x - mean)^2].

    Rybkin et al. 2021, Simple and Effective VAE Training with Calibrated Decoders, Eq. 6,
    https://arxiv.org/abs/2006.13202. Nothing is left to choose between sharpness and the prior.
    """
    error = (x - mean).square().flatten(1)  # (N, C H W)
    variance = error.mean().clamp(min=1 / 12 / 255**2)  # at least that of rounding to 8 bits
    return 0.5 * (error / variance + torch.log(2 * math.pi * variance)).sum(1)


def kl_to_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag(variance)) || N(0, I)), (N,). Kingma & Welling 2014, App. B."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


class Encoder(nn.Module):
    """q(z|x), a Gaussian."""

    def __init__(self, config: VAEConfig, card: Card):
        super().__init__()
        sizes, widths = shapes(card.resolution, config.width, config.max_width, card.channels)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [down(before, after), nn.SiLU()]
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.Linear(sizes[-1] ** 2 * widths[-1], config.hidden)
        self.code = nn.Sequential(nn.SiLU(), nn.Linear(config.hidden, 2 * config.latent))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, (N, Z) each."""
        h = self.convolutions(x).permute(0, 2, 3, 1)  # (N, 3, 3, 128), as it lies in memory
        mean, log_variance = self.code(self.hidden(h.flatten(1))).float().chunk(2, 1)
        return mean, log_variance


class Generator(family.Generator):
    """The decoder p(x|z), with z from the prior."""

    def __init__(self, config: VAEConfig, card: Card):
        super().__init__()
        sizes, widths = shapes(card.resolution, config.width, config.max_width, card.channels)
        self.latent, self.size = config.latent, sizes[-1]
        self.code = nn.Sequential(nn.Linear(config.latent, config.hidden), nn.SiLU())
        self.hidden = nn.Linear(config.hidden, sizes[-1] ** 2 * widths[-1])
        layers: list[nn.Module] = []
        for i in reversed(range(len(sizes) - 1)):
            layers += [nn.SiLU(), up(widths[i + 1], widths[i], sizes[i])]
        self.convolutions = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """Logits of the pixels, (N, C, H, W)."""
        h = self.hidden(self.code(z)).unflatten(1, (self.size, self.size, -1))  # (N, 3, 3, 128)
        return self.convolutions(h.permute(0, 3, 1, 2)).float()

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """The mean of p(x|z), z ~ N(0, I)."""
        return to_image(2 * self(noise(self.latent)).sigmoid() - 1)


class VAE(Family):
    """A VAE on all images, whatever their labels."""

    Config = VAEConfig
    paper = "Kingma & Welling 2014, Auto-Encoding Variational Bayes, https://arxiv.org/abs/1312.6114"

    def __init__(self, config: VAEConfig, card: Card, upstream: Mapping[str, nn.Module] | None = None):
        super().__init__(config, card, upstream)
        if config.latent >= (pixels := math.prod(card.shape)):
            raise ValueError(f"latent={config.latent} must be less than an image's {pixels} numbers")
        self.encoder = Encoder(config, card)
        self.generator: Generator = Generator(config, card)
        self.phases = (Phase("elbo", self.loss, adam(self.encoder, self.generator, lr=config.lr)),)

    def loss(self, batch: Batch) -> Terms:
        """-log p(x|z) + beta KL(q(z|x) || N(0, I)) with z = mean + sigma eps, Eq. 10, in nats per image."""
        assert batch.image is not None
        mean, log_variance = self.encoder(batch.image)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        x, logit = (batch.image + 1) / 2, self.generator(z)
        gaussian = self.config.likelihood == "gaussian"
        reconstruction = gaussian_nll(x, logit.sigmoid()) if gaussian else bernoulli_nll(x, logit)
        return {"reconstruction": reconstruction, "kl": self.config.beta * kl_to_prior(mean, log_variance)}
