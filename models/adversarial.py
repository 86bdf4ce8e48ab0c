"""Adversarial training: two phases, a choice of objective, and the known remedies as settings of any family.

    D: min over D of an objective on D(x) and D(G(z))        G: min over G of its counterpart

Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661. A family of this kind says which networks it has and
which of the settings below its paper chose; it may override a loss. D sees images and samples in batches of
their own, since BatchNorm and minibatch statistics would mix them.

State that steers training across batches: spectral normalisation's vectors belong to a shard, like every
buffer of a network; ADA's p is moved by a mean over all shards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrizations
from torch.optim import Optimizer

from models import remedies
from models.augment import adjusted, augmented
from models.family import (
    DISCRIMINATOR,
    GENERATOR,
    Batch,
    Card,
    Config,
    Family,
    Generator,
    Phase,
    Remedy,
    Terms,
)
from models.layers import RMSProp, adam
from models.losses import OBJECTIVES, auc, between, one_centred, zero_centred
from models.search import Choice, Range

LossName = Literal["non_saturating", "minimax", "least_squares", "hinge", "wasserstein", "relativistic"]
OptimizerName = Literal["adam", "rmsprop"]
Norm = Literal["batch", "none"]

Critic = Callable[[Tensor, Tensor | None], Tensor]
"""From images (N, C, H, W) and their labels to scores (N,)."""


class AdversarialConfig(Config):
    """What all adversarial families can be told; each has its own paper's defaults.

    With minibatch_discrimination or minibatch_stddev, scores depend on the other images of a shard, and so
    does a penalty on their slope: what it bounds is then the slope of all scores by one image. Both together
    are allowed, as Karras et al. 2018 have them (Sec. 3 and App. A), unlike a penalty with BatchNorm.
    """

    # Dimensions of z.
    latent: Annotated[
        int, Choice((32, 64, 100, 128), source="Radford et al. 2016, Sec. 4: 100; Miyato et al. 2018: 128")
    ] = Field(100, ge=1)
    loss: Annotated[
        LossName,
        Choice(
            ("non_saturating", "minimax", "least_squares", "hinge", "wasserstein", "relativistic"),
            source="Goodfellow et al. 2014, Sec. 3: non_saturating, for minimax saturates early in training",
            recommended="non_saturating",
        ),
    ] = "non_saturating"
    optimizer: OptimizerName = "adam"
    # Learning rate.
    lr: Annotated[
        float, Range(1e-4, 4e-4, "log", source="Radford et al. 2016, Sec. 4: 2e-4", recommended=2e-4)
    ] = Field(2e-4, gt=0)
    # D's own (Heusel et al. 2017); None: the same.
    lr_discriminator: Annotated[
        float | None,
        Range(1e-4, 4e-4, "log", source="Zhang et al. 2019, SAGAN: 4e-4, with 1e-4 for G", recommended=4e-4),
    ] = Field(None, gt=0)
    # Of Adam; at 0.9 training oscillates, Radford et al. 2016, Sec. 4.
    beta1: Annotated[
        float,
        Range(
            0.0,
            0.9,
            source="Radford et al. 2016, Sec. 4: 0.5, for 0.9 oscillates",
            where=("optimizer", "adam"),
            recommended=0.5,
        ),
    ] = Field(0.5, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    # D steps a G step, each on other images.
    n_critic: Annotated[
        int, Range(1, 5, source="Goodfellow et al. 2014, Alg. 1: 1; Arjovsky et al. 2017, Alg. 1: 5")
    ] = Field(1, ge=1)
    n_generator: int = Field(1, ge=1)  # G steps a D step
    norm: Norm = "none"  # normalisation between D's layers, where its networks have any
    # Remedies.
    clip_weights: float | None = Field(None, gt=0)  # D's weights stay in [-c, c]; Arjovsky et al. 2017
    # Lambda; Gulrajani et al. 2017, Eq. 3.
    gradient_penalty: Annotated[
        float,
        Choice((0.0, 1.0, 10.0), source="Gulrajani et al. 2017, Sec. 4: 10 everywhere", recommended=10.0),
    ] = Field(0, ge=0)
    # Gamma, on images; Mescheder et al. 2018, Eq. 9.
    r1: Annotated[
        float,
        Choice(
            (0.0, 0.01, 0.1, 1.0, 10.0),
            source="Mescheder et al. 2018, authors' code: 10; StyleGAN2-ADA's settings for CIFAR-10: 0.01",
            recommended=10.0,
        ),
    ] = Field(0, ge=0)
    # Gamma, on samples; Eq. 10.
    r2: Annotated[
        float,
        Choice(
            (0.0, 0.01, 0.1, 1.0, 10.0), source="Mescheder et al. 2018, authors' code: 10", recommended=10.0
        ),
    ] = Field(0, ge=0)
    # Of D's layers; Miyato et al. 2018.
    spectral_norm: Annotated[
        bool, Choice((False, True), source="Miyato et al. 2018: with any objective", recommended=True)
    ] = False
    # Kernels; Salimans et al. 2016, Sec. 3.2.
    minibatch_discrimination: Annotated[
        int, Choice((0, 16, 32, 64), source="Salimans et al. 2016, Sec. 3.2: against collapse")
    ] = Field(0, ge=0)
    # Images in a group; Karras et al. 2018, Sec. 3.
    minibatch_stddev: Annotated[
        int,
        Choice((0, 4, 8), source="StyleGAN2's settings: 4", recommended=4),
    ] = Field(0, ge=0)
    unrolled_steps: int = Field(0, ge=0)  # D steps that G looks ahead; Metz et al. 2017
    unrolled_lr: float = Field(0.005, gt=0)  # of the plain gradient descent in them; 0.02 already overshoots
    # Standard deviation at first; Sonderby et al. 2017.
    instance_noise: Annotated[
        float,
        Range(
            0.0,
            0.5,
            source="Sonderby et al. 2017, appendix on instance noise: some, annealed to 0",
            advises=False,
        ),
    ] = Field(0, ge=0)
    instance_noise_steps: int = Field(1000, ge=1)  # it falls to 0 in a straight line over so many
    # Images are called 1 - this; Salimans et al., Sec. 3.4.
    label_smoothing: Annotated[
        float, Choice((0.0, 0.1, 0.2), source="Salimans et al. 2016, Sec. 3.4: 0.1", recommended=0.1)
    ] = Field(0, ge=0, lt=0.5)
    # See models/augment.py.
    augment: Annotated[
        tuple[Literal["colour", "translation", "cutout", "geometry"], ...],
        Choice(
            ((), ("translation",), ("translation", "cutout"), ("colour", "translation", "cutout")),
            source="Zhao et al. 2020: all three; authors' code for CIFAR-10: translation and cutout",
            recommended=("translation", "cutout"),
        ),
    ] = ()
    augment_p: float = Field(1.0, ge=0, le=1)  # of each for each image; the first p where it adapts
    ada_target: float | None = Field(None, gt=0, lt=1)  # of E[sign D(x)] (paper: 0.6); None: p stays as it is
    ada_steps: int = Field(5000, ge=1)  # D updates in which p can go from 0 to 1 (paper: 500,000 images)

    @property
    def lr_d(self) -> float:
        """D's learning rate."""
        return self.lr if self.lr_discriminator is None else self.lr_discriminator

    @property
    def penalties(self) -> list[str]:
        """The settings in force that act on D's slope, which BatchNorm would spoil."""
        return [name for name in ("gradient_penalty", "r1", "r2", "spectral_norm") if getattr(self, name)]

    @model_validator(mode="after")
    def _composes(self) -> Self:
        if self.n_critic > 1 and self.n_generator > 1:
            raise ValueError("n_critic and n_generator cannot both be more than 1")
        if self.norm == "batch" and self.penalties:
            raise ValueError(
                f"{self.penalties[0]} needs norm: none, for BatchNorm makes a score depend on other images"
            )
        if self.label_smoothing and not OBJECTIVES[self.loss].labels:
            raise ValueError(f"label_smoothing has no meaning with loss: {self.loss}, which has no labels")
        if self.clip_weights and self.spectral_norm:
            raise ValueError("clip_weights and spectral_norm both bound D's weights; choose one")
        if self.unrolled_steps and self.penalties and self.penalties != ["spectral_norm"]:
            raise ValueError(f"unrolled_steps cannot look ahead through {self.penalties[0]}; choose one")
        if self.ada_target and not self.augment:
            raise ValueError("ada_target adapts augmentations; name them in augment")
        if self.ada_target and OBJECTIVES[self.loss].undecided is None:
            raise ValueError(
                f"ada_target reads the sign of D(x), which means little with loss: {self.loss}; set augment_p"
            )
        return self


# The discriminator: features of an image by itself, statistics of the batch, one score.


class MinibatchDiscrimination(nn.Module):
    """How near the others of the batch are: o(x_i)_b = sum over j != i of exp(-|M_i,b - M_j,b|_1).

    Salimans et al. 2016, Sec. 3.2, with M = T f(x), (N, kernels, dim).
    """

    def __init__(self, width: int, kernels: int, dim: int = 8):
        super().__init__()
        self.project = nn.Linear(width, kernels * dim, bias=False)
        self.kernels, self.width = kernels, kernels

    def forward(self, h: Tensor) -> Tensor:
        """(N, width) -> (N, kernels)."""
        m = self.project(h).float().unflatten(1, (self.kernels, -1)).permute(2, 1, 0)  # (dim, kernels, N)
        distance = m.new_zeros(())
        for row in m.contiguous():  # all at once would be dim times as large as the result, and slower
            distance = distance + (row[:, :, None] - row[:, None]).abs()  # (kernels, N, N)
        return (-distance).exp().sum(2).T - 1  # without itself, exp(0)


def group_size(group: int, images: int) -> int:
    """How many of the images of a shard are a group: `group` of them, or all where there are fewer.

    Raises:
        ValueError: the images cannot be cut into such groups.
    """
    if images % min(group, images):
        raise ValueError(f"minibatch_stddev={group} must divide the {images} images of a shard")
    return min(group, images)


class MinibatchStddev(nn.Module):
    """The standard deviation of features over a group, averaged into one number. Karras et al. 2018, Sec. 3.

    A group takes images N/G apart, as in the authors' code; its size is at most the batch's.
    """

    def __init__(self, group: int):
        super().__init__()
        self.group, self.width = group, 1

    def forward(self, h: Tensor) -> Tensor:
        """(N, F) -> (N, 1)."""
        size = group_size(self.group, len(h))
        groups = h.float().unflatten(0, (size, -1))  # (G, N/G, F)
        deviation = (groups.var(0, correction=0) + 1e-8).sqrt().mean(1)  # (N/G,)
        return deviation.repeat(size)[:, None]


class Discriminator(nn.Module):
    """Features (N, F) of an image, then one score from them and from statistics of the batch.

    Args:
        features: from images (N, C, H, W) to (N, width).
        width: how many.
        config: which statistics there are.
        classes: a projection term <v_y, h> where more than 0, Miyato & Koyama 2018, Eq. 3.
    """

    def __init__(self, features: nn.Module, width: int, config: AdversarialConfig, classes: int = 0):
        super().__init__()
        self.features = features
        statistics: list[MinibatchDiscrimination | MinibatchStddev] = []
        if config.minibatch_discrimination:
            statistics.append(MinibatchDiscrimination(width, config.minibatch_discrimination))
        if config.minibatch_stddev:
            statistics.append(MinibatchStddev(config.minibatch_stddev))
        self.statistics = nn.ModuleList(statistics)
        self.score = nn.Linear(width + sum(s.width for s in statistics), 1)
        self.project = nn.Embedding(classes, width) if classes else None

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """D(x), (N,): a logit where the objective makes D a probability."""
        h = self.features(x)
        score = self.score(torch.cat([h, *(statistic(h) for statistic in self.statistics)], 1)).squeeze(1)
        if self.project is not None:
            score = score + (self.project(label) * h).sum(1)
        return score.float()


def normalise_spectrally(network: nn.Module) -> None:
    """Divide every weight by an estimate of its largest singular value. Miyato et al. 2018, Eq. 8.

    As a parametrization, which unlike the older hook can be deep-copied and keeps its vectors in the state.
    """
    for module in list(network.modules()):
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
            if not module.weight.any():  # a residual branch that starts at zero: 0 / 0 would be its weights
                module.reset_parameters()
            parametrizations.spectral_norm(module)


class Adversarial(Family):
    """D, then G, each as often as the settings say."""

    config: AdversarialConfig
    discriminator: nn.Module
    augment_p: Tensor

    def __init__(
        self, config: AdversarialConfig, card: Card, upstream: Mapping[str, nn.Module] | None = None
    ):
        super().__init__(config, card, upstream)
        self.objective = OBJECTIVES[config.loss]
        self.bands = self.objective.bands
        self.sigma = config.instance_noise
        self.register_buffer("augment_p", torch.tensor(config.augment_p))
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

    def networks(self, config: Any, card: Card) -> tuple[Generator, nn.Module]:
        """G, called with z and labels, and D, called with images and labels; initialised."""
        raise NotImplementedError

    def optimizer(self, network: nn.Module, lr: float) -> Optimizer:
        """Adam, or RMSProp with torch's decay of 0.99, over a network."""
        if self.config.optimizer == "rmsprop":
            return RMSProp(network.parameters(), lr=lr)
        return adam(network, lr=lr, betas=(self.config.beta1, self.config.beta2))

    def check_shard(self, images: int) -> None:
        """Raises ValueError where the images cannot be cut into groups."""
        if self.config.minibatch_stddev:
            group_size(self.config.minibatch_stddev, images)

    def remedies(self, disease: str) -> Sequence[Remedy]:
        """What the literature has against `disease` that the settings have not."""
        return remedies.remedies(self.config, disease)

    def begin(self, step: int) -> None:
        """Instance noise falls to 0 in a straight line."""
        left = 1 - step / self.config.instance_noise_steps
        self.sigma = self.config.instance_noise * max(0.0, left)

    # What D is shown.

    def latent(self, batch: Batch) -> Tensor:
        """Z ~ N(0, I), one for each image of `batch`."""
        assert batch.image is not None
        return torch.randn(len(batch), self.config.latent, device=batch.image.device)

    def fake(self, batch: Batch) -> Tensor:
        """G(z), as many as there are images in `batch` and of their classes."""
        return self.generator(self.latent(batch), batch.label)

    def shown(self, x: Tensor) -> Tensor:
        """Images or samples as D sees them: augmented, then with noise."""
        if self.config.augment:
            x = augmented(x, self.config.augment, self.augment_p)
        return x + self.sigma * torch.randn_like(x) if self.sigma else x

    # The two losses.

    def discriminator_loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """The objective of D; lambda E[(|grad D(x^)| - 1)^2] and gamma/2 E[|grad D|^2] where set."""
        config, objective = self.config, self.objective
        x, fake = batch.image, self.fake(batch)
        assert x is not None
        if config.r1:
            x = x.detach().requires_grad_()
        if config.r2:
            fake = fake.detach().requires_grad_()
        r, f = (self.discriminator(self.shown(y), batch.label) for y in (x, fake))
        terms = objective.discriminator(r, f, config.label_smoothing)
        loss = torch.stack([term.detach().mean() for term in terms.values()]).mean()
        if config.gradient_penalty:
            middle = between(x, fake).detach().requires_grad_()
            score = self.discriminator(self.shown(middle), batch.label)
            terms["penalty"] = config.gradient_penalty * one_centred(score, middle)
        if config.r1:
            terms["r1"] = config.r1 * zero_centred(r, x)
        if config.r2:
            terms["r2"] = config.r2 * zero_centred(f, fake)
        return terms, self.observed(r, f) | {"loss": loss}

    def generator_loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """The objective of G, against D as it is, or as it would be some steps on."""
        x, fake = batch.image, self.fake(batch)
        assert x is not None
        judge = self.unrolled(batch, fake) if self.config.unrolled_steps else self.discriminator
        f = judge(self.shown(fake), batch.label)
        r = judge(self.shown(x), batch.label) if self.objective.relativistic else f
        return {"score": self.objective.generator(f, r)}, {"D(G(z))": self.objective.shown(f)}

    def observed(self, r: Tensor, f: Tensor) -> Terms:
        """What tells how the two stand to each other."""
        shown = self.objective.shown
        terms = {"D(x)": shown(r), "D(G(z))": shown(f), "auc": auc(r, f)}
        if self.config.ada_target and self.objective.undecided is not None:
            terms["sign"] = (r - self.objective.undecided).sign()
        return terms

    def unrolled(self, batch: Batch, fake: Tensor) -> Critic:
        """D after some steps of gradient descent against these samples: G's loss sees D's answer to G.

        Metz et al. 2017, Eq. 7 and 8, https://arxiv.org/abs/1611.02163. D itself, its buffers and its
        optimizer stay as they are.
        """
        config, network, x = self.config, self.discriminator, batch.image
        assert x is not None
        weights: Mapping[str, Tensor] = {
            name: p.detach().requires_grad_() for name, p in network.named_parameters()
        }
        buffers = {name: b.clone() for name, b in network.named_buffers()}

        def at(weights: Mapping[str, Tensor]) -> Critic:
            return lambda x, label: functional_call(network, {**weights, **buffers}, (x, label))

        for _ in range(config.unrolled_steps):
            r, f = (at(weights)(self.shown(y), batch.label) for y in (x, fake))
            terms = self.objective.discriminator(r, f, config.label_smoothing)
            loss = torch.stack([term.mean() for term in terms.values()]).sum()
            slopes = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            weights = {
                name: w - config.unrolled_lr * slope
                for (name, w), slope in zip(weights.items(), slopes, strict=True)
            }
        return at(weights)

    def after_discriminator(self, terms: Terms) -> None:
        """Bound D's weights, Arjovsky et al. 2017, Alg. 1, line 7; move ADA's p."""
        config = self.config
        if config.clip_weights:
            for p in self.discriminator.parameters():
                p.clamp_(-config.clip_weights, config.clip_weights)
        if config.ada_target:
            self.augment_p.copy_(adjusted(self.augment_p, terms["sign"], config.ada_target, config.ada_steps))
