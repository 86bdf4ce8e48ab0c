"""Settings shared by all adversarial families."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from models.family import Config
from models.parts.losses import OBJECTIVES
from models.search_space import tunable
from models.step_counts import Steps

LossName = Literal[
    "non_saturating",
    "minimax",
    "least_squares",
    "hinge",
    "wasserstein",
    "relativistic",
    "relativistic_average",
]

OptimizerName = Literal["adam", "rmsprop"]

Augmentation = Literal[
    "colour", "translation", "cutout", "geometry", "ada_blit", "ada_geometry", "ada_colour"
]

Norm = Literal["batch", "none"]

PerImageNorm = Literal["instance", "none"]


class AdversarialConfig(Config):
    """Hyperparameters of an adversarial family; subclasses set the defaults of their papers.

    With minibatch_discrimination or minibatch_stddev a score depends on the other images of its shard. A
    gradient penalty then bounds the gradient of all scores with respect to one image. Karras et al. 2018
    combine the two (Sec. 3 and App. A), so both together are allowed, unlike a penalty with BatchNorm.
    """

    # fmt: off
    loss: LossName = tunable("non_saturating",
        source="Goodfellow et al. 2014, Sec. 3: non_saturating, for minimax saturates early in training")
    optimizer: OptimizerName = "adam"
    # Learning rate.
    lr: float = tunable(2e-4, gt=0, low=1e-4, high=4e-4, log=True, source="Radford et al. 2016, Sec. 4: 2e-4")
    # Learning rate of D (Heusel et al. 2017); None: lr.
    lr_discriminator: float | None = tunable(None, gt=0, low=1e-4, high=4e-4, log=True, recommended=4e-4,
        source="Zhang et al. 2019, SAGAN: 4e-4, with 1e-4 for G")
    # Of Adam; at 0.9 training oscillates, Radford et al. 2016, Sec. 4.
    beta1: float = tunable(0.5, ge=0, lt=1, low=0.0, high=0.9, active_if=("optimizer", "adam"),
        source="Radford et al. 2016, Sec. 4: 0.5, for 0.9 oscillates")
    beta2: float = Field(0.999, ge=0, lt=1)
    n_critic: int = tunable(1, ge=1, low=1, high=5,  # D steps per G step, each on new images
        source="Goodfellow et al. 2014, Alg. 1: 1; Arjovsky et al. 2017, Alg. 1: 5")
    n_generator: int = Field(1, ge=1)  # G steps per D step
    norm: Norm | PerImageNorm = "none"  # normalisation between D's layers, if its network has any
    # Remedies.
    clip_weights: float | None = Field(None, gt=0)  # c, clips D's weights to [-c, c]; Arjovsky et al. 2017
    gradient_penalty: float = tunable(0, ge=0, choices=(0.0, 1.0, 10.0), recommended=10.0,
        source="Gulrajani et al. 2017, Sec. 4: 10 everywhere")  # lambda; Gulrajani et al. 2017, Eq. 3
    # Gamma, on images: gamma/2 E[|grad D(x)|^2], Mescheder et al. 2018, Eq. 9.
    r1: float = tunable(0, ge=0, choices=(0.0, 0.01, 0.1, 1.0, 10.0), recommended=10.0,
        source="Mescheder et al. 2018: 10 (authors' code: 20, as 10 without the 1/2); "
        "StyleGAN2-ADA's settings for CIFAR-10: 0.01")
    # Gamma, on samples; Eq. 10.
    r2: float = tunable(0, ge=0, choices=(0.0, 0.01, 0.1, 1.0, 10.0), recommended=10.0,
        source="Mescheder et al. 2018: 10 (authors' code: 20, as 10 without the 1/2)")
    # Of D's layers; Miyato et al. 2018.
    spectral_norm: bool = tunable(False, recommended=True, source="Miyato et al. 2018: with any objective")
    minibatch_discrimination: int = tunable(0, ge=0, choices=(0, 16, 32, 64),
        source="Salimans et al. 2016, Sec. 3.2: against collapse")  # kernels; Salimans et al. 2016, Sec. 3.2
    minibatch_stddev: int = tunable(0, ge=0, choices=(0, 4, 8), recommended=4,
        source="StyleGAN2's settings: 4")  # images in a group; Karras et al. 2018, Sec. 3
    unrolled_steps: int = Field(0, ge=0)  # D steps that G's loss unrolls; Metz et al. 2017
    unrolled_lr: float = Field(0.005, gt=0)  # of the gradient descent in these steps; 0.02 overshoots
    # Initial standard deviation; Sonderby et al. 2017.
    instance_noise: float = tunable(0, ge=0, low=0.0, high=0.5, advises=False,
        source="Sonderby et al. 2017, appendix on instance noise: some, annealed to 0")
    instance_noise_steps: Steps = Field(1000, ge=1)  # steps over which it decays linearly to 0
    instance_noise_from: Steps = Field(0, ge=0)  # step at which it starts to decay; a treatment sets its own
    label_smoothing: float = tunable(0, ge=0, lt=0.5, choices=(0.0, 0.1, 0.2), recommended=0.1,
        source="Salimans et al. 2016, Sec. 3.4: 0.1")  # the label of images is 1 minus this
    # See models/parts/augment.py.
    augment: tuple[Augmentation, ...] = tunable((),
        choices=((), ("translation",), ("translation", "cutout"), ("colour", "translation", "cutout")),
        recommended=("translation", "cutout"),
        source="Zhao et al. 2020: all three; authors' code for CIFAR-10: translation and cutout")
    # Probability of each augmentation; None: 1, or with ada_target 0, from which it adapts.
    augment_p: float | None = Field(None, ge=0, le=1)
    ada_target: float | None = Field(None, gt=0, lt=1)  # of E[sign D(x)] (paper: 0.6); None: p is constant
    ada_steps: Steps = Field(5000, ge=1)  # D updates in which p can rise from 0 to 1
    # The same in thousands of images, in place of ada_steps (paper: 500).
    ada_kimg: float | None = Field(None, gt=0)
    # fmt: on

    @property
    def lr_d(self) -> float:
        """D's learning rate."""
        return self.lr if self.lr_discriminator is None else self.lr_discriminator

    @property
    def initial_augment_p(self) -> float:
        """The probability of each augmentation at the start of training."""
        if self.augment_p is None:
            return 0.0 if self.ada_target else 1.0
        return self.augment_p

    @property
    def penalties(self) -> list[str]:
        """The active settings that bound D's gradient, which are incompatible with BatchNorm."""
        return [name for name in ("gradient_penalty", "r1", "r2", "spectral_norm") if getattr(self, name)]

    @model_validator(mode="after")
    def _composes(self) -> Self:
        if self.n_critic > 1 and self.n_generator > 1:
            raise ValueError("n_critic and n_generator cannot both be more than 1")
        if self.norm == "batch" and self.penalties:
            raise ValueError(
                f"{self.penalties[0]} needs norm: none, since BatchNorm makes a score depend on other images"
            )
        if self.label_smoothing and not OBJECTIVES[self.loss].labels:
            raise ValueError(f"label_smoothing needs a loss with labels, and loss: {self.loss} has none")
        if self.clip_weights and self.spectral_norm:
            raise ValueError("clip_weights and spectral_norm both bound D's weights; choose one")
        if self.unrolled_steps and self.penalties and self.penalties != ["spectral_norm"]:
            raise ValueError(f"unrolled_steps and {self.penalties[0]} cannot be combined; choose one")
        if self.ada_target and not self.augment:
            raise ValueError("ada_target adapts augmentations; list them in augment")
        if self.ada_target and OBJECTIVES[self.loss].undecided is None:
            raise ValueError(
                f"ada_target needs a meaningful sign of D(x), which loss: {self.loss} lacks; set augment_p"
            )
        return self


class FromNoiseConfig(AdversarialConfig):
    """Hyperparameters of an adversarial family that generates images from a vector z."""

    # fmt: off
    latent: int = tunable(100, ge=1, choices=(32, 64, 100, 128),  # dimensions of z
        source="Radford et al. 2016, Sec. 4: 100; Miyato et al. 2018: 128")
