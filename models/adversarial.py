"""Adversarial training: two phases, a choice of objectives, and the known remedies as settings.

    D: min over D of an objective on D(x) and D(G(z))        G: min over G of its counterpart

Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661. A family defines its networks and the settings of
its paper; it may override a loss. D gets images and samples in separate batches, since BatchNorm and
minibatch statistics would mix them.

State across batches: each shard has its own vectors of spectral normalisation, like all buffers of a network;
ADA's p is updated from a mean over all shards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer

from models import remedies
from models.adversarial_config import AdversarialConfig, FromNoiseConfig
from models.data_spec import DataSpec
from models.family import DISCRIMINATOR, GENERATOR, Batch, Family, Generator, Phase, Remedy, Terms
from models.parts.augment import adjusted, augmented
from models.parts.discriminator import Critic, group_size, normalise_spectrally
from models.parts.layers import RMSProp, adam
from models.parts.losses import OBJECTIVES, auc, between, one_centred, zero_centred


class Adversarial(Family):
    """A discriminator and a generator, trained in turn."""

    config: AdversarialConfig
    discriminator: nn.Module
    augment_p: Tensor

    def __init__(
        self, config: AdversarialConfig, card: DataSpec, upstream: Mapping[str, nn.Module] | None = None
    ):
        super().__init__(config, card, upstream)
        self.objective = OBJECTIVES[config.loss]
        self.bands = self.objective.bands
        self.sigma = config.instance_noise
        self.register_buffer("augment_p", torch.tensor(config.initial_augment_p))
        self.generator, self.discriminator = self.networks(config, card)
        if config.spectral_norm:
            normalise_spectrally(self.discriminator)
        self.phases = (
            Phase(
                DISCRIMINATOR,
                self.discriminator_loss,
                self.optimizer(self.discriminator, config.lr_d),
                every=config.n_generator,
                after=self.after_discriminator if config.clip_weights or config.ada_target else None,
            ),
            Phase(
                GENERATOR,
                self.generator_loss,
                self.optimizer(self.generator, config.lr),
                every=config.n_critic,
            ),
        )

    def networks(self, config: Any, card: DataSpec) -> tuple[Generator, nn.Module]:
        """Return G, called with z and labels, and D, called with images and labels; initialised."""
        raise NotImplementedError

    def optimizer(self, network: nn.Module, lr: float) -> Optimizer:
        """Return Adam, or RMSProp with torch's decay of 0.99, for a network."""
        if self.config.optimizer == "rmsprop":
            return RMSProp(network.parameters(), lr=lr)
        return adam(network, lr=lr, betas=(self.config.beta1, self.config.beta2))

    @classmethod
    def for_batch(cls, config: Any, card: DataSpec, batch: int) -> Any:
        """Return the settings with `ada_steps` from `ada_kimg`, if that is set."""
        if config.ada_kimg is None:
            return config
        return config.model_copy(update={"ada_steps": max(1, round(1000 * config.ada_kimg / batch))})

    def check_shard(self, images: int) -> None:
        """Raise ValueError if the images cannot be divided into groups for minibatch_stddev."""
        if self.config.minibatch_stddev:
            group_size(self.config.minibatch_stddev, images)

    def remedies(self, disease: str) -> Sequence[Remedy]:
        """Return the treatments for `disease` that the settings do not have yet."""
        return remedies.remedies(self.config, disease)

    def begin(self, step: int) -> None:
        """Set the instance noise, which decays linearly to 0 from `instance_noise_from` on."""
        c = self.config
        elapsed = max(0, step - c.instance_noise_from) / c.instance_noise_steps
        self.sigma = c.instance_noise * max(0.0, 1 - elapsed)

    # The inputs of D.

    def latent(self, batch: Batch) -> Tensor:
        """Sample z ~ N(0, I) for each image of `batch`."""
        assert batch.image is not None and isinstance(self.config, FromNoiseConfig)
        return torch.randn(len(batch), self.config.latent, device=batch.image.device)

    def fake(self, batch: Batch) -> Tensor:
        """G(z) for each image of `batch`, of its class if conditional."""
        return self.generator(self.latent(batch), batch.label)

    def judged(self, x: Tensor, batch: Batch) -> Tensor:
        """Return the input of D for images or samples; a family adds the conditions that D sees."""
        return x

    def augmented_input(self, x: Tensor, batch: Batch) -> Tensor:
        """Augment what D judges and add instance noise: the input of D for images or samples."""
        x = self.judged(x, batch)
        if self.config.augment:
            x = augmented(x, self.config.augment, self.augment_p)
        return x + self.sigma * torch.randn_like(x) if self.sigma else x

    # The two losses.

    @property
    def gammas(self) -> tuple[float, float]:
        """Gamma of R1 and of R2 in D's loss."""
        return self.config.r1, self.config.r2

    def discriminator_loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """The objective of D, plus lambda E[(|grad D(x^)| - 1)^2] and gamma/2 E[|grad D|^2] if set."""
        x = batch.image
        assert x is not None
        return self.discriminator_terms(self.discriminator, x, self.fake(batch), batch)

    def discriminator_terms(
        self, network: nn.Module, x: Tensor, fake: Tensor, batch: Batch
    ) -> tuple[Terms, Terms]:
        """The loss of a discriminator for these images and samples."""
        config, objective = self.config, self.objective
        r1, r2 = self.gammas
        if r1:
            x = x.detach().requires_grad_()
        if r2:
            fake = fake.detach().requires_grad_()
        r, f = (network(self.augmented_input(y, batch), batch.label) for y in (x, fake))
        terms = objective.discriminator(r, f, config.label_smoothing)
        loss = torch.stack([term.detach().mean() for term in terms.values()]).mean()
        if config.gradient_penalty:
            x_hat = between(x, fake).detach().requires_grad_()
            score = network(self.augmented_input(x_hat, batch), batch.label)
            terms["penalty"] = config.gradient_penalty * one_centred(score, x_hat)
        if r1:
            terms["r1"] = r1 * zero_centred(r, x)
        if r2:
            terms["r2"] = r2 * zero_centred(f, fake)
        return terms, self.observed(r, f) | {"loss": loss}

    def generator_loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """The objective of G against D, or against D unrolled by some steps."""
        x = batch.image
        assert x is not None
        return self.generator_score(self.discriminator, x, self.fake(batch), batch)

    def generator_score(
        self, network: nn.Module, x: Tensor, fake: Tensor, batch: Batch
    ) -> tuple[Terms, Terms]:
        """The objective of G against a discriminator, for these samples and images."""
        critic = self.unrolled(network, x, fake, batch) if self.config.unrolled_steps else network
        f = critic(self.augmented_input(fake, batch), batch.label)
        r = critic(self.augmented_input(x, batch), batch.label) if self.objective.relativistic else f
        return {"score": self.objective.generator(f, r)}, {"D(G(z))": self.objective.displayed_score(f)}

    def observed(self, r: Tensor, f: Tensor) -> Terms:
        """The logged values of D on images and samples."""
        terms = {
            "D(x)": self.objective.displayed_score(r),
            "D(G(z))": self.objective.displayed_score(f),
            "auc": auc(r, f),
        }
        if self.config.ada_target and self.objective.undecided is not None:
            terms["sign"] = (r - self.objective.undecided).sign()
        return terms

    def unrolled(self, network: nn.Module, x: Tensor, fake: Tensor, batch: Batch) -> Critic:
        """Return a discriminator after some steps of gradient descent on these samples, differentiable by G.

        Metz et al. 2017, Eq. 7 and 8, https://arxiv.org/abs/1611.02163. D, its buffers and its optimizer do
        not change.
        """
        config = self.config
        weights: Mapping[str, Tensor] = {
            name: p.detach().requires_grad_() for name, p in network.named_parameters()
        }
        buffers = {name: b.clone() for name, b in network.named_buffers()}

        def at(weights: Mapping[str, Tensor]) -> Critic:
            return lambda x, label: functional_call(network, {**weights, **buffers}, (x, label))

        for _ in range(config.unrolled_steps):
            r, f = (at(weights)(self.augmented_input(y, batch), batch.label) for y in (x, fake))
            terms = self.objective.discriminator(r, f, config.label_smoothing)
            loss = torch.stack([term.mean() for term in terms.values()]).sum()
            gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            weights = {
                name: w - config.unrolled_lr * g
                for (name, w), g in zip(weights.items(), gradients, strict=True)
            }
        return at(weights)

    def after_discriminator(self, terms: Terms) -> None:
        """Clip D's weights, Arjovsky et al. 2017, Alg. 1, line 7; update ADA's p."""
        config = self.config
        if config.clip_weights:
            for p in self.discriminator.parameters():
                p.clamp_(-config.clip_weights, config.clip_weights)
        if config.ada_target:
            self.augment_p.copy_(adjusted(self.augment_p, terms["sign"], config.ada_target, config.ada_steps))
