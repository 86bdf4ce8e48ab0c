"""Arjovsky, Chintala & Bottou 2017, Wasserstein GAN.

https://arxiv.org/abs/1701.07875

    D: min E[D(G(z))] - E[D(x)] over weights in [-c, c]        G: min -E[D(G(z))]

DCGAN's networks, BatchNorm in the critic included. RMSProp, since momentum unsettles the critic (Sec. 4), and
five critic steps a step of G, each on other images. Clipped weights make a poor critic, as the authors say
themselves (Sec. 3); WGAN-GP mends that.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from models.adversarial_config import LossName, OptimizerName
from models.dcgan import DCGAN, DCGANConfig
from models.search_space import Range


class WGANConfig(DCGANConfig):
    """Hyperparameters of WGAN: the defaults of Algorithm 1."""

    loss: LossName = "wasserstein"
    optimizer: OptimizerName = "rmsprop"
    lr: Annotated[
        float, Range(1e-5, 4e-4, "log", source="Arjovsky et al. 2017, Alg. 1: 5e-5", recommended=5e-5)
    ] = Field(5e-5, gt=0)
    n_critic: Annotated[int, Range(1, 5, source="Arjovsky et al. 2017, Alg. 1: 5", recommended=5)] = Field(
        5, ge=1
    )
    clip_weights: Annotated[
        float | None,
        Range(0.001, 0.1, "log", source="Arjovsky et al. 2017, Alg. 1: 0.01", recommended=0.01),
    ] = Field(0.01, gt=0)


class WGAN(DCGAN):
    """A critic of bounded weights, then G."""

    Config = WGANConfig
    paper = "Arjovsky, Chintala & Bottou 2017, Wasserstein GAN, https://arxiv.org/abs/1701.07875"
