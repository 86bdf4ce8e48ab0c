"""Settings of StyleGAN2."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.adversarial_config import Augmentation, FromNoiseConfig
from models.search_space import tunable

ADA: tuple[Augmentation, ...] = ("ada_blit", "ada_geometry", "ada_colour")
DIFFAUGMENT: tuple[Augmentation, ...] = ("colour", "translation", "cutout")


class StyleGAN2Config(FromNoiseConfig):
    """Hyperparameters of StyleGAN2: the authors' (config F) except for the size of the networks."""

    # fmt: off
    latent: int = tunable(512, ge=1, choices=(64, 128, 256, 512), source="Karras et al. 2019, Sec. 2: 512")
    width: int = Field(512, ge=1)  # dimensions of w and of the mapping network's layers
    # Layers of the mapping network.
    mapping_depth: int = tunable(8, ge=1, choices=(2, 4, 8),
        source="Karras et al. 2019, Sec. 2: 8; StyleGAN2-ADA's settings for CIFAR-10: 2")
    mapping_lr_multiplier: float = Field(0.01, gt=0)  # its learning rate over the others'
    # Channels of feature maps of r pixels: channel_base / r, at most channel_max.
    channel_base: int = tunable(2048, ge=1, choices=(1024, 2048, 4096, 16384, 32768), recommended=32768,
        source="Karras et al. 2020, config F: 32768; StyleGAN2-ADA up to 256 pixels: 16384")
    channel_max: int = Field(512, ge=1)
    input: Literal["constant", "fourier"] = "constant"  # fourier: StyleGAN3's configuration B
    conditional: bool = False  # on the class
    lr: float = tunable(0.0025, gt=0, low=5e-4, high=4e-3, log=True,
        source="StyleGAN2-ADA, authors' code: 0.0025, from 1024 pixels on 0.002")
    beta1: float = tunable(0.0, ge=0, lt=1, low=0.0, high=0.5, active_if=("optimizer", "adam"),
        source="Karras et al. 2018, App. A: 0")
    beta2: float = Field(0.99, ge=0, lt=1)
    norm: Literal["none"] = "none"
    minibatch_stddev: int = tunable(4, ge=0, choices=(0, 4, 8), source="Karras et al. 2020, App. B: 4")
    # Gamma; None: 0.0002 resolution^2 / batch, the rule of StyleGAN2-ADA's appendix and authors' code.
    r1: float | None = tunable(None, ge=0, low=0.01, high=10.0, log=True,  # type: ignore[assignment]
        source="StyleGAN2-ADA: 0.0002 resolution^2 / batch, within a factor of 5; FFHQ at 1024 pixels: 10")
    r1_every: int = Field(16, ge=1)  # steps
    path_weight: float = Field(2.0, ge=0)  # gamma_pl, with lengths as `path_lengths` normalises them; 0: off
    path_every: int = Field(4, ge=1)  # steps (paper: 8; authors' later code: 4)
    path_decay: float = Field(0.01, gt=0, le=1)  # of the mean path length: the weight of a new value
    path_shrink: int = Field(2, ge=1)  # the path lengths are those of a batch divided by this
    augment: tuple[Augmentation, ...] = tunable((),
        choices=((), ADA, DIFFAUGMENT), recommended=ADA,
        source="StyleGAN2-ADA, Sec. 2.3: blits, geometry and colour")
    ada_target: float | None = tunable(None, gt=0, lt=1, low=0.4, high=0.8, recommended=0.6,
        active_if=("augment", ADA, DIFFAUGMENT),
        source="StyleGAN2-ADA, Sec. 3.1: 0.6")  # of E[sign D(x)]; None: p is constant
    # Probability of style mixing.
    mixing: float = tunable(0.9, ge=0, le=1, low=0.0, high=1.0,
        source="Karras et al. 2019, Sec. 3.1: 0.9; StyleGAN2-ADA's settings for CIFAR-10: 0")
    mean_decay: float = Field(0.995, ge=0, lt=1)  # of the mean of w
    bfloat16_resolutions: int = Field(4, ge=0)  # highest resolutions in bfloat16, where the training is
    # Psi of the truncation trick: 1 is no truncation, 0 the mean image.
    truncation: float = tunable(1.0, ge=0, le=1, low=0.3, high=1.0, sampling=True, advises=False,
        source="Karras et al. 2019, App. B: 0.7 for figures, 1 for metrics")
    truncation_cutoff: int | None = Field(None, ge=0)  # layers that are truncated, from the first; None: all
    # fmt: on

    def channels(self, size: int) -> int:
        """The channels of feature maps of `size` pixels a side."""
        return max(1, min(self.channel_base // size, self.channel_max))
