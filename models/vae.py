"""Kingma & Welling 2014, Auto-Encoding Variational Bayes.

https://arxiv.org/abs/1312.6114

    min E_q(z|x)[-log p(x|z)] + beta KL(q(z|x) || N(0, I)),   minus the ELBO where beta = 1

beta follows Higgins et al. 2017 (https://openreview.net/forum?id=Sy2fzU9gl), its warm-up Sonderby et al. 2016
(https://arxiv.org/abs/1602.02282), free bits Kingma et al. 2016 (https://arxiv.org/abs/1606.04934). With
labels this is the conditional VAE of Sohn et al. 2015. With `draws` above 1 the bound is Eq. 8 of Burda et
al. 2016, Importance Weighted Autoencoders (https://arxiv.org/abs/1509.00519):

    log p(x) >= E[log 1/K sum_k w_k],   w_k = p(x|z_k) p(z_k) / q(z_k|x)

Encoder and decoder are convolutional by default; the paper's are dense.
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
from models.data_spec import DataSpec
from models.family import Batch, Family, Noise, Phase, Terms
from models.parts.augment import translation
from models.parts.coders import CoderConfig, Decoder, Encoder
from models.parts.layers import adam, to_image
from models.search_space import tunable
from models.step_counts import Steps

MIN_VARIANCE = 1 / 12 / 255**2  # of a pixel in [0, 1]: the variance of rounding to 8 bits
ACTIVE_VARIANCE = 0.01  # a unit is active if its mean varies more than this over images; Burda et al. 2016
MAX_LOGGED_UNITS = 64  # the divergence of each unit is logged up to this number of units
DECODED_PIXELS = 2_500_000  # that log_weights decodes at once: 50 draws for each of 64 digits
MIN_WEIGHT = 0.01  # of the newest batch in the running variance of the decoder


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
    # bernoulli treats pixels as probabilities, for near-binary images; a likelihood only of binarised images.
    # gaussian uses the optimal sigma of each batch, gaussian_learned a learned one, gaussian_fixed `sigma`.
    likelihood: Literal["bernoulli", "gaussian", "gaussian_learned", "gaussian_fixed"] = "bernoulli"
    sigma: float = Field(0.1, gt=0)  # of a pixel in [0, 1]
    bounded: bool = True  # a sigmoid maps the decoder's mean into [0, 1]; always with bernoulli
    # threshold: at 1/2. stochastic: a pixel is the probability of white, resampled each time (Burda et al.).
    binarise: Literal["none", "threshold", "stochastic"] = "none"
    beta: float = tunable(1.0, ge=0, low=0.1, high=4.0, log=True,  # weight of the KL term
        source="Kingma & Welling 2014: 1; Higgins et al. 2017: above 1; pythae's beta-VAE: 2")
    beta_warmup: Steps = Field(0, ge=0)  # steps over which beta rises from 0
    # Nats of each dimension, averaged over the batch, that are free.
    free_bits: float = tunable(0.0, ge=0, low=0.0, high=0.5, advises=False,
        source="Kingma et al. 2016, Eq. 15: some, against unused dimensions")
    draws: int = tunable(1, ge=1, choices=(1, 5, 50), recommended=50,  # K of the importance-weighted bound
        source="Burda et al. 2016, Table 1: 50, of 1, 5 and 50")
    conditional: bool = False  # on the class
    shift: int = Field(0, ge=0)  # training images are translated by up to this number of pixels
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
            raise ValueError(
                f"draws={self.draws} does not go with beta, beta_warmup or free_bits; leave these unset"
            )
        return self


def bernoulli_nll(x: Tensor, logit: Tensor) -> Tensor:
    """-log Bernoulli(x; sigmoid(logit)), (N,), for x in [0, 1]. Kingma & Welling 2014, App. C.1."""
    return binary_cross_entropy_with_logits(logit, x, reduction="none").flatten(1).sum(1)


def gaussian_nll(x: Tensor, mean: Tensor, variance: Tensor | None = None) -> Tensor:
    """-log N(x; mean, sigma^2 I), (N,); without a variance at the optimum for the batch, E[(x - mean)^2].

    Rybkin et al. 2021, Simple and Effective VAE Training with Calibrated Decoders, Eq. 6,
    https://arxiv.org/abs/2006.13202. The optimum replaces a manual balance of reconstruction and prior.
    """
    error = (x - mean).square().flatten(1)  # (N, C H W)
    variance = (error.mean() if variance is None else variance).clamp(min=MIN_VARIANCE)
    return 0.5 * (error / variance + torch.log(2 * math.pi * variance)).sum(1)


def kl_by_dimension(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean_j, variance_j) || N(0, 1)) of each dimension, (N, Z). Kingma & Welling 2014, App. B."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def kl_to_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag(variance)) || N(0, I)), (N,)."""
    return kl_by_dimension(mean, log_variance).sum(1)


def free(kl: Tensor, bits: float) -> Tensor:
    """sum_j max(bits, E[KL_j]) of (N, Z), a scalar. Kingma et al. 2016, Eq. 15."""
    return kl.mean(0).clamp(min=bits).sum()


class Generator(family.Generator):
    """Encoder q(z|x) and decoder p(x|z)."""

    variance: Tensor

    def __init__(self, config: VAEConfig, card: DataSpec):
        super().__init__()
        self.config, self.latent = config, config.latent
        classes = card.num_classes if config.conditional else 0
        self.encoder = Encoder(config, card, 2 * config.latent, classes)
        self.decoder = Decoder(config, card, classes)
        # Of a pixel in [0, 1]; with likelihood: gaussian, the running average of the optimum.
        self.register_buffer("variance", torch.tensor(config.sigma**2))
        if config.likelihood == "gaussian_learned":
            self.log_sigma = nn.Parameter(torch.tensor(config.sigma).log())

    def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z|x), (N, Z) each; x is binarised if the likelihood needs it."""
        assert batch.image is not None
        x = batch.image if self.config.binarise == "none" else (batch.image > 0).float() * 2 - 1
        return self.encoded(x, batch.label)

    def encoded(self, x: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z|x), (N, Z) each, for x in [-1, 1]."""
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
        """The mean of p(x|z), in [0, 1], from the output of the decoder."""
        return out.sigmoid() if self.config.bounded else out

    def nll(self, x: Tensor, out: Tensor) -> Tensor:
        """-log p(x|z) for x in [0, 1], (N,), in nats."""
        c = self.config
        if c.likelihood == "bernoulli":
            return bernoulli_nll(x, out)
        if c.likelihood == "gaussian_learned":
            return gaussian_nll(x, self.mean(out), (2 * self.log_sigma).exp())
        optimal = c.likelihood == "gaussian" and self.training
        return gaussian_nll(x, self.mean(out), None if optimal else self.variance)

    @property
    def has_likelihood(self) -> bool:
        """Whether log p(x) is defined; it is not if pixels are probabilities."""
        return self.config.likelihood != "bernoulli" or self.config.binarise != "none"

    def log_weights(self, batch: Batch, noise: Noise, k: int) -> Tensor:
        """Log p(x|z) p(z) / q(z|x) for k draws from q(z|x), (N, k), in nats per image.

        Raises:
            ValueError: Pixels are probabilities, which have no likelihood.
        """
        if not self.has_likelihood:
            raise ValueError(
                "likelihood=bernoulli has no log p(x) without binarise; set it, or likelihood=gaussian"
            )
        x = self.binary(batch, noise)
        mean, log_variance = self.encoded(2 * x - 1, batch.label)
        # All draws precede decoding, so that they do not depend on DECODED_PIXELS.
        parts = noise(k, self.latent).split(max(1, DECODED_PIXELS // x.numel()), 1)
        return torch.cat([self.weighed(x, batch.label, mean, log_variance, eps)[0] for eps in parts], 1)

    def weighed(
        self, x: Tensor, label: Tensor | None, mean: Tensor, log_variance: Tensor, eps: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Log w_k (N, K) of z_k = mean + sigma eps_k, and decoder outputs; x in [0, 1], eps (N, K, Z)."""
        k = eps.shape[1]
        z = mean[:, None] + (log_variance[:, None] / 2).exp() * eps
        labels = None if label is None else label.repeat_interleave(k)
        out = self.decoder(z.flatten(0, 1), labels)
        log_p = -self.nll(x.repeat_interleave(k, 0), out).view(-1, k)
        prior = -0.5 * z.square().sum(2)  # p(z) and q(z|x) both without Z / 2 log 2 pi, which cancels
        return log_p + prior + 0.5 * (eps.square().sum(2) + log_variance.sum(1, keepdim=True)), out

    def binary(self, batch: Batch, noise: Noise) -> Tensor:
        """The x of p(x|z): images in [0, 1], binarised if the config says so, (N, C, H, W)."""
        assert batch.image is not None
        x = (batch.image + 1) / 2
        if self.config.binarise == "stochastic":
            return (noise.uniform(*x.shape[1:]) < x).float()
        return (x > 0.5).float() if self.config.binarise == "threshold" else x


class VAE(Family):
    """A variational autoencoder, optionally class-conditional."""

    Config = VAEConfig
    paper = "Kingma & Welling 2014, Auto-Encoding Variational Bayes, https://arxiv.org/abs/1312.6114"
    takes = frozenset({"label"})
    codes = True

    def __init__(self, config: VAEConfig, card: DataSpec, upstream: Mapping[str, nn.Module] | None = None):
        super().__init__(config, card, upstream)
        config.check(card)
        if config.conditional and not card.num_classes:
            raise ValueError("conditional=true needs labels, and the data has none")
        self.generator: Generator = Generator(config, card)
        self.warmup, self.newest_weight = 1.0, 1.0
        optimizer = adam(self.generator, lr=config.lr, weight_decay=config.weight_decay)
        self.phases = (Phase("elbo", self.loss, optimizer, after=self.after_update),)

    @classmethod
    def conditions(cls, config: VAEConfig, card: DataSpec) -> frozenset[str]:
        """Return the conditions of samples: the class if `conditional` is set."""
        return super().conditions(config, card) if config.conditional else frozenset()

    def begin(self, step: int) -> None:
        """Set the warm-up of beta and the weight of the newest batch in the running variance."""
        self.warmup = min(1.0, (step + 1) / self.config.beta_warmup) if self.config.beta_warmup else 1.0
        self.newest_weight = max(MIN_WEIGHT, 1 / (step + 1))

    def loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """-log p(x|z) + beta KL(q(z|x) || N(0, I)) with z = mean + sigma eps, Eq. 10, in nats per image."""
        c, g = self.config, self.generator
        x = self.training_target(batch)
        mean, log_variance = g.encoded(2 * x - 1, batch.label)
        kl = kl_by_dimension(mean, log_variance)
        if c.draws > 1:
            eps = torch.randn(len(x), c.draws, c.latent, device=x.device)
            weights, out = g.weighed(x, batch.label, mean, log_variance, eps)
            bound = weights.logsumexp(1) - math.log(c.draws)
            variance = self.optimal_variance(x.repeat_interleave(c.draws, 0), out)
            return {"bound": -bound}, observed(mean, kl, bound) | variance
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        out = g.decoder(z, batch.label)
        reconstruction = g.nll(x, out)
        cost = free(kl, c.free_bits).expand(len(x)) if c.free_bits else kl.sum(1)
        # Validation uses the full beta; otherwise the lowest loss would be an early one, at a small beta.
        beta = c.beta * (self.warmup if self.training else 1.0)
        logged = observed(mean, kl, -reconstruction - kl.sum(1)) | self.optimal_variance(x, out)
        return {"reconstruction": reconstruction, "kl": beta * cost}, logged

    def optimal_variance(self, x: Tensor, out: Tensor) -> Terms:
        """The optimal sigma^2 of a batch, E[(x - mean)^2], with likelihood: gaussian."""
        if self.config.likelihood != "gaussian":
            return {}
        return {"variance": (x - self.generator.mean(out.detach())).square().mean()}

    def training_target(self, batch: Batch) -> Tensor:
        """The training images in [0, 1], translated and binarised if the config says so."""
        assert batch.image is not None
        x = (batch.image + 1) / 2
        if self.training and self.config.shift:
            x = translation(x, self.config.shift)
        if self.config.binarise == "stochastic":
            return torch.bernoulli(x)
        return (x > 0.5).float() if self.config.binarise == "threshold" else x

    def after_update(self, terms: Terms) -> None:
        """Update the running average of the optimal variance, which evaluation uses."""
        if self.config.likelihood == "gaussian":
            self.generator.variance.lerp_(terms["variance"], self.newest_weight)


def observed(mean: Tensor, kl: Tensor, elbo: Tensor) -> Terms:
    """The logged values of a batch: bound, number of active units, divergence of each unit."""
    terms = {"elbo": elbo.detach().mean()}
    if len(mean) > 1:
        terms["active_units"] = (mean.detach().float().var(0) > ACTIVE_VARIANCE).float().sum()
    if kl.shape[1] <= MAX_LOGGED_UNITS:
        terms |= {f"kl_z{j}": unit for j, unit in enumerate(kl.detach().mean(0))}
    return terms
