"""Settings of StyleGAN2."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.search_space import tunable
from models.style_based import StyleBasedConfig


class StyleGAN2Config(StyleBasedConfig):
    """Hyperparameters of StyleGAN2: the authors' (config F) except for the size of the networks."""

    # fmt: off
    # Channels of feature maps of r pixels: channel_base / r, at most channel_max.
    channel_base: int = tunable(2048, ge=1, choices=(1024, 2048, 4096, 16384, 32768), recommended=32768,
        source="Karras et al. 2020, config F: 32768; StyleGAN2-ADA up to 256 pixels: 16384")
    input: Literal["constant", "fourier"] = "constant"  # fourier: StyleGAN3's configuration B
    lr: float = tunable(0.0025, gt=0, low=5e-4, high=4e-3, log=True,
        source="StyleGAN2-ADA, authors' code: 0.0025, from 1024 pixels on 0.002")
    # Gamma; None: 0.0002 resolution^2 / batch, the rule of StyleGAN2-ADA's appendix and authors' code.
    r1: float | None = tunable(None, ge=0, low=0.01, high=10.0, log=True,  # type: ignore[assignment]
        source="StyleGAN2-ADA: 0.0002 resolution^2 / batch, within a factor of 5; FFHQ at 1024 pixels: 10")
    r1_every: int = Field(16, ge=1)  # steps
    path_weight: float = Field(2.0, ge=0)  # gamma_pl, with lengths as `path_lengths` normalises them; 0: off
    path_every: int = Field(4, ge=1)  # steps (paper: 8; authors' later code: 4)
    path_decay: float = Field(0.01, gt=0, le=1)  # of the mean path length: the weight of a new value
    path_shrink: int = Field(2, ge=1)  # the path lengths are those of a batch divided by this
    # fmt: on
