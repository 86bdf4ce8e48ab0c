"""Kingma & Welling 2014, Auto-Encoding Variational Bayes, https://arxiv.org/abs/1312.6114

    min E_q(z|x)[-log p(x|z)] + beta KL(q(z|x) || N(0, I)),   minus the ELBO at beta = 1
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
from models.family import Batch, Card, Family, Noise, Phase, Terms
from models.layers import adam, down, halvings, to_image, up


class Config(family.Config):
    """Hyperparameters of the VAE."""

    latent: int = Field(16, ge=1)  # dimensions of z
    width: int = Field(32, ge=1)  # channels of the largest feature maps; doubled at each halving
    hidden: int = Field(256, ge=1)  # of the dense layer next to z
    beta: float = Field(1.0, ge=0)  # weight of the KL term; 1 is the ELBO, other values Higgins et al. 2017
    likelihood: Literal["gaussian", "bernoulli"] = "gaussian"
    lr: float = Field(1e-3, gt=0)  # of Adam


def gaussian_nll(x: Tensor, mean: Tensor) -> Tensor:
    """-log N(x; mean, sigma^2 I), (N,), at the sigma best for the batch: sigma^2 = E[(x - mean)^2].

    Rybkin et al. 2021, Simple and Effective VAE Training with Calibrated Decoders, Eq. 6,
    https://arxiv.org/abs/2006.13202. No weight is left to choose between sharpness and the prior.
    """
    error = (x - mean.float()).square().flatten(1)  # (N, D)
    variance = error.mean()
    return 0.5 * (error / variance + torch.log(2 * math.pi * variance)).sum(1)


def bernoulli_nll(x: Tensor, logit: Tensor) -> Tensor:
    """-log Bernoulli(x; sigmoid(logit)), (N,), for x in [0, 1]; greys count as probabilities."""
    return binary_cross_entropy_with_logits(logit.float(), x, reduction="none").flatten(1).sum(1)


def kl_to_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag(variance)) || N(0, I)), (N,). Kingma & Welling 2014, App. B."""
    mean, log_variance = mean.float(), log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


class Encoder(nn.Module):
    """q(z|x)."""

    def __init__(self, config: Config, card: Card):
        super().__init__()
        sizes = halvings(card.resolution)  # 28, 14, 7
        widths = [card.channels, *(config.width * 2**i for i in range(len(sizes) - 1))]  # 1, 32, 64
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [down(before, after), nn.SiLU()]
        self.convolutions = nn.Sequential(*layers)
        self.dense = nn.Sequential(
            nn.Linear(sizes[-1] ** 2 * widths[-1], config.hidden), nn.SiLU(), nn.Linear(config.hidden, 2 * config.latent)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z|x), (N, Z) each."""
        h = self.convolutions(x).permute(0, 2, 3, 1)  # (N, 7, 7, 64)
        mean, log_variance = self.dense(h.flatten(1)).float().chunk(2, 1)
        return mean, log_variance


class Generator(family.Generator):
    """The decoder p(x|z), with z from the prior."""

    def __init__(self, config: Config, card: Card):
        super().__init__()
        self.latent = config.latent
        sizes = halvings(card.resolution)
        widths = [card.channels, *(config.width * 2**i for i in range(len(sizes) - 1))]
        self.size = sizes[-1]
        self.dense = nn.Sequential(
            nn.Linear(config.latent, config.hidden), nn.SiLU(), nn.Linear(config.hidden, self.size**2 * widths[-1])
        )
        layers: list[nn.Module] = []
        for i in reversed(range(len(sizes) - 1)):
            layers += [nn.SiLU(), up(widths[i + 1], widths[i], sizes[i])]
        self.convolutions = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """Logits of the pixels, (N, C, H, W)."""
        h = self.dense(z).unflatten(1, (self.size, self.size, -1))
        return self.convolutions(h.permute(0, 3, 1, 2)).float()

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """The mean of p(x|z), z ~ N(0, I)."""
        return to_image(2 * self(noise(self.latent)).float().sigmoid() - 1)


class VAE(Family):
    """A VAE with a calibrated decoder."""

    Config = Config
    paper = "Kingma & Welling 2014, Auto-Encoding Variational Bayes, https://arxiv.org/abs/1312.6114"

    def __init__(self, config: Config, card: Card, upstream: Mapping[str, nn.Module] | None = None):
        super().__init__(config, card, upstream)
        self.encoder = Encoder(config, card)
        self.generator: Generator = Generator(config, card)
        self.to(memory_format=torch.channels_last)
        self.phases = (Phase("elbo", self.loss, adam(self.encoder, self.generator, lr=config.lr)),)

    def loss(self, batch: Batch) -> Terms:
        """-log p(x|z) + beta KL(q(z|x) || N(0, I)), z = mean + sigma eps (Eq. 10), summed over pixels."""
        assert batch.image is not None
        mean, log_variance = self.encoder(batch.image)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        x, logit = (batch.image + 1) / 2, self.generator(z).float()
        if self.config.likelihood == "gaussian":
            reconstruction = gaussian_nll(x, logit.sigmoid())
        else:
            reconstruction = bernoulli_nll(x, logit)
        return {"reconstruction": reconstruction, "kl": self.config.beta * kl_to_prior(mean, log_variance)}
