"""Kingma & Welling 2014, Auto-Encoding Variational Bayes.

https://arxiv.org/abs/1312.6114

    min E_q(z|x)[-log p(x|z)] + beta KL(q(z|x) || N(0, I)),   minus the ELBO where beta = 1

beta is that of Higgins et al. 2017 (https://openreview.net/forum?id=Sy2fzU9gl), its warm-up of Sonderby et
al. 2016 (https://arxiv.org/abs/1602.02282), free bits of Kingma et al. 2016
(https://arxiv.org/abs/1606.04934); labels make it the conditional VAE of Sohn et al. 2015. With `draws` above
1 the bound is that of Burda et al. 2016, Importance Weighted Autoencoders (https://arxiv.org/abs/1509.00519),
Eq. 8:

    log p(x) >= E[log 1/K sum_k w_k],   w_k = p(x|z_k) p(z_k) / q(z_k|x)

Encoder and decoder are convolutional by default, where the paper's are dense.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from models import family
from models.family import Batch, Card, Family, Noise, Phase, Terms
from models.parts.augment import translation
from models.parts.coders import CoderConfig, Decoder, Encoder
from models.parts.layers import adam, to_image
from models.search_space import tunable

SMALLEST = 1 / 12 / 255**2  # variance of a pixel in [0, 1]: that of rounding to 8 bits
ACTIVE = 0.01  # the variance of a code's mean over images above which a unit is active; Burda et al. 2016
NAMED = 64  # latents up to which each one's divergence is logged
NUMBERS = 2_500_000  # of images that log_weights decodes at once: 50 draws for each of 64 digits
MEMORY = 0.01  # weight of the newest batch in the decoder's variance, once there were so many


class VAEConfig(CoderConfig):
    """Hyperparameters of the VAE."""

    # fmt: off
    network: Literal["dense", "conv"] = tunable("conv", recommended="dense",
        source="Kingma & Welling 2014: dense")
    # Dimensions of z.
    latent: int = tunable(16, ge=1, low=2, high=64, log=True, source="pythae's settings for MNIST: 16")
    widths: tuple[PositiveInt, ...] = tunable((400,), choices=((200,), (400,), (200, 200), (512, 256)),
        source="pythae's script for MNIST: 400; Burda et al. 2016: 200, 200", active_if=("network", "dense"))
    activation: Literal["relu", "silu", "gelu"] = tunable("silu", advises=False,
        source="this project: what is usual now")
    # bernoulli takes pixels as probabilities, for near-binary images: a likelihood only of binarised ones.
    # gaussian has the best sigma of each batch, gaussian_learned a learned one, gaussian_fixed `sigma`.
    likelihood: Literal["bernoulli", "gaussian", "gaussian_learned", "gaussian_fixed"] = "bernoulli"
    sigma: float = Field(0.1, gt=0)  # of a pixel in [0, 1]
    bounded: bool = True  # the decoder's mean goes through a sigmoid, into [0, 1]; always with bernoulli
    # threshold: at 1/2. stochastic: a pixel is the probability of white, drawn anew each time (Burda et al.).
    binarise: Literal["none", "threshold", "stochastic"] = "none"
    beta: float = tunable(1.0, ge=0, low=0.1, high=4.0, log=True,  # weight of the KL term
        source="Kingma & Welling 2014: 1; Higgins et al. 2017: above 1; pythae's beta-VAE: 2")
    beta_warmup: int = Field(0, ge=0)  # steps over which it rises from 0
    # Nats of a dimension, averaged over the batch, that cost nothing more.
    free_bits: float = tunable(0.0, ge=0, low=0.0, high=0.5, advises=False,
        source="Kingma et al. 2016, Eq. 15: some, against unused dimensions")
    draws: int = tunable(1, ge=1, choices=(1, 5, 50), recommended=50,  # K of the importance-weighted bound
        source="Burda et al. 2016, Table 1: 50, of 1, 5 and 50")
    conditional: bool = False  # on the class
    shift: int = Field(0, ge=0)  # training images move by up to so many pixels
    lr: float = tunable(1e-3, gt=0, low=1e-4, high=4e-3, log=True,  # of Adam
        source="pythae's settings: 1e-3 for MNIST, 1e-4 else")
    weight_decay: float = Field(0.0, ge=0)  # decoupled
    # fmt: on

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.binarise != "none" and self.likelihood != "bernoulli":
            raise ValueError(f"binarise={self.binarise} is for likelihood=bernoulli, not {self.likelihood}")
        if not self.bounded and self.likelihood == "bernoulli":
            raise ValueError("bounded=false is for gaussian likelihoods: bernoulli needs probabilities")
        if self.draws > 1 and (self.beta != 1 or self.beta_warmup or self.free_bits):
            raise ValueError(f"draws={self.draws} weighs its bound as a whole: no beta, warm-up or free bits")
        return self


def bernoulli_nll(x: Tensor, logit: Tensor) -> Tensor:
    """-log Bernoulli(x; sigmoid(logit)), (N,), for x in [0, 1]. Kingma & Welling 2014, App. C.1."""
    return binary_cross_entropy_with_logits(logit, x, reduction="none").flatten(1).sum(1)


def gaussian_nll(x: Tensor, mean: Tensor, variance: Tensor | None = None) -> Tensor:
    """-log N(x; mean, sigma^2 I), (N,); without a variance at the best one for the batch, E[(x - mean)^2].

    Rybkin et al. 2021, Simple and Effective VAE Training with Calibrated Decoders, Eq. 6,
    https://arxiv.org/abs/2006.13202. Nothing is left to choose between sharpness and the prior.
    """
    error = (x - mean).square().flatten(1)  # (N, C H W)
    variance = (error.mean() if variance is None else variance).clamp(min=SMALLEST)
    return 0.5 * (error / variance + torch.log(2 * math.pi * variance)).sum(1)


def kl_by_dimension(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean_j, variance_j) || N(0, 1)) of each dimension, (N, Z). Kingma & Welling 2014, App. B."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def kl_to_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag(variance)) || N(0, I)), (N,)."""
    return kl_by_dimension(mean, log_variance).sum(1)


def free(kl: Tensor, bits: float) -> Tensor:
    """sum_j max(bits, E[KL_j]) of (N, Z), a number for the batch. Kingma et al. 2016, Eq. 15."""
    return kl.mean(0).clamp(min=bits).sum()


class Generator(family.Generator):
    """Encoder q(z|x) and decoder p(x|z)."""

    variance: Tensor

    def __init__(self, config: VAEConfig, card: Card):
        super().__init__()
        self.config, self.latent = config, config.latent
        classes = card.num_classes if config.conditional else 0
        self.encoder = Encoder(config, card, 2 * config.latent, classes)
        self.decoder = Decoder(config, card, classes)
        # Of a pixel in [0, 1]; of the best sigma, an average over the newest batches.
        self.register_buffer("variance", torch.tensor(config.sigma**2))
        if config.likelihood == "gaussian_learned":
            self.log_sigma = nn.Parameter(torch.tensor(config.sigma).log())

    def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z|x), (N, Z) each."""
        assert batch.image is not None
        x = batch.image if self.config.binarise == "none" else (batch.image > 0).float() * 2 - 1
        return self.encoded(x, batch.label)

    def encoded(self, x: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        """The same of images in [-1, 1] as they are."""
        mean, log_variance = self.encoder(x, label).chunk(2, 1)
        return mean, log_variance

    def code(self, batch: Batch) -> Tensor:
        """The mean of q(z|x), (N, Z)."""
        return self.posterior(batch)[0]

    def picture(self, z: Tensor, batch: Batch) -> Tensor:
        """The mean of p(x|z), (N, C, H, W) in [-1, 1]."""
        return to_image(2 * self.mean(self.decoder(z, batch.label)) - 1)

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """The mean of p(x|z), z ~ N(0, I)."""
        return self.picture(noise(self.latent), batch)

    def mean(self, out: Tensor) -> Tensor:
        """The mean of p(x|z) that the decoder's output stands for, of pixels in [0, 1]."""
        return out.sigmoid() if self.config.bounded else out

    def nll(self, x: Tensor, out: Tensor) -> Tensor:
        """-log p(x|z) of images x in [0, 1], (N,), in nats."""
        c = self.config
        if c.likelihood == "bernoulli":
            return bernoulli_nll(x, out)
        if c.likelihood == "gaussian_learned":
            return gaussian_nll(x, self.mean(out), (2 * self.log_sigma).exp())
        best = c.likelihood == "gaussian" and self.training
        return gaussian_nll(x, self.mean(out), None if best else self.variance)

    @property
    def has_likelihood(self) -> bool:
        """Whether there is a log p(x): of pixels that are taken as probabilities there is none."""
        return self.config.likelihood != "bernoulli" or self.config.binarise != "none"

    def log_weights(self, batch: Batch, noise: Noise, k: int) -> Tensor:
        """Log p(x|z) p(z) / q(z|x) for k draws from q(z|x), (N, k), in nats an image.

        Raises:
            ValueError: pixels are taken as probabilities, and there is no likelihood of those.
        """
        if not self.has_likelihood:
            raise ValueError(
                "likelihood=bernoulli is one of binary images only: there is no log p(x) without binarise, "
                "or with likelihood=gaussian"
            )
        x = self.binary(batch, noise)
        mean, log_variance = self.encoded(2 * x - 1, batch.label)
        # All drawn before any is decoded, so that how many fit into memory changes no draw.
        parts = noise(k, self.latent).split(max(1, NUMBERS // x.numel()), 1)
        return torch.cat([self.weighed(x, batch.label, mean, log_variance, eps)[0] for eps in parts], 1)

    def weighed(
        self, x: Tensor, label: Tensor | None, mean: Tensor, log_variance: Tensor, eps: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Log w of z = mean + sigma eps, (N, K), and what z are decoded to; x in [0, 1], eps (N, K, Z)."""
        k = eps.shape[1]
        z = mean[:, None] + (log_variance[:, None] / 2).exp() * eps
        labels = None if label is None else label.repeat_interleave(k)
        out = self.decoder(z.flatten(0, 1), labels)
        log_p = -self.nll(x.repeat_interleave(k, 0), out).view(-1, k)
        prior = -0.5 * z.square().sum(2)  # both without Z / 2 log 2 pi, which cancels
        return log_p + prior + 0.5 * (eps.square().sum(2) + log_variance.sum(1, keepdim=True)), out

    def binary(self, batch: Batch, noise: Noise) -> Tensor:
        """The x in [0, 1] that the likelihood is of, (N, C, H, W)."""
        assert batch.image is not None
        x = (batch.image + 1) / 2
        if self.config.binarise == "stochastic":
            return (noise.uniform(*x.shape[1:]) < x).float()
        return (x > 0.5).float() if self.config.binarise == "threshold" else x


class VAE(Family):
    """A VAE on all images, of each class where it is conditional."""

    Config = VAEConfig
    paper = "Kingma & Welling 2014, Auto-Encoding Variational Bayes, https://arxiv.org/abs/1312.6114"
    takes = frozenset({"label"})
    codes = True

    def __init__(self, config: VAEConfig, card: Card, upstream: Mapping[str, nn.Module] | None = None):
        super().__init__(config, card, upstream)
        config.check(card)
        if config.conditional and not card.num_classes:
            raise ValueError("conditional=true needs labels, and the data has none")
        self.generator: Generator = Generator(config, card)
        self.warmth, self.newest = 1.0, 1.0
        optimizer = adam(self.generator, lr=config.lr, weight_decay=config.weight_decay)
        self.phases = (Phase("elbo", self.loss, optimizer, after=self.after_update),)

    @classmethod
    def conditions(cls, config: VAEConfig, card: Card) -> frozenset[str]:
        """What samples depend on: the class, where it is told."""
        return super().conditions(config, card) if config.conditional else frozenset()

    def begin(self, step: int) -> None:
        """Let beta rise, and the newest batch count for less in the best sigma."""
        self.warmth = min(1.0, (step + 1) / self.config.beta_warmup) if self.config.beta_warmup else 1.0
        self.newest = max(MEMORY, 1 / (step + 1))

    def loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """-log p(x|z) + beta KL(q(z|x) || N(0, I)) with z = mean + sigma eps, Eq. 10, in nats per image."""
        c, g = self.config, self.generator
        x = self.seen(batch)
        mean, log_variance = g.encoded(2 * x - 1, batch.label)
        kl = kl_by_dimension(mean, log_variance)
        if c.draws > 1:
            eps = torch.randn(len(x), c.draws, c.latent, device=x.device)
            weights, out = g.weighed(x, batch.label, mean, log_variance, eps)
            bound = weights.logsumexp(1) - math.log(c.draws)
            told = observed(mean, kl, bound) | self.spread(x.repeat_interleave(c.draws, 0), out)
            return {"bound": -bound}, told
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        out = g.decoder(z, batch.label)
        reconstruction = g.nll(x, out)
        cost = free(kl, c.free_bits).expand(len(x)) if c.free_bits else kl.sum(1)
        # Validation weighs in full: a bound that was cheap while beta rose would be the best of a training.
        beta = c.beta * (self.warmth if self.training else 1.0)
        told = observed(mean, kl, -reconstruction - kl.sum(1)) | self.spread(x, out)
        return {"reconstruction": reconstruction, "kl": beta * cost}, told

    def spread(self, x: Tensor, out: Tensor) -> Terms:
        """The best sigma^2 of a batch, E[(x - mean)^2], where sigma is that."""
        if self.config.likelihood != "gaussian":
            return {}
        return {"variance": (x - self.generator.mean(out.detach())).square().mean()}

    def seen(self, batch: Batch) -> Tensor:
        """What is learnt of a batch, in [0, 1]: moved and made binary, where that is asked for."""
        assert batch.image is not None
        x = (batch.image + 1) / 2
        if self.training and self.config.shift:
            x = translation(x, self.config.shift)
        if self.config.binarise == "stochastic":
            return torch.bernoulli(x)
        return (x > 0.5).float() if self.config.binarise == "threshold" else x

    def after_update(self, terms: Terms) -> None:
        """Keep the best sigma of the newest batches, for when there is no batch to take it from."""
        if self.config.likelihood == "gaussian":
            self.generator.variance.lerp_(terms["variance"], self.newest)


def observed(mean: Tensor, kl: Tensor, elbo: Tensor) -> Terms:
    """What is logged of a batch: the bound, how many units are active, each one's divergence."""
    told = {"elbo": elbo.detach().mean()}
    if len(mean) > 1:
        told["active_units"] = (mean.detach().float().var(0) > ACTIVE).float().sum()
    each = kl.detach().mean(0)
    return told | ({f"kl_z{j}": each[j] for j in range(len(each))} if len(each) <= NAMED else {})
