"""Arjovsky, Chintala & Bottou 2017, Wasserstein GAN.

https://arxiv.org/abs/1701.07875

    D: min E[D(G(z))] - E[D(x)] over weights in [-c, c]        G: min -E[D(G(z))]

The networks are DCGAN's, including BatchNorm in the critic. The optimizer is RMSProp, since momentum makes
the critic unstable (Sec. 4), with five critic steps per step of G, each on new images. The authors themselves
call weight clipping a poor constraint (Sec. 3); WGAN-GP replaces it.
"""

from __future__ import annotations

from models.adversarial_config import LossName, OptimizerName
from models.dcgan import DCGAN, DCGANConfig
from models.search_space import tunable


class WGANConfig(DCGANConfig):
    """Hyperparameters of WGAN: the defaults of Algorithm 1."""

    loss: LossName = "wasserstein"
    optimizer: OptimizerName = "rmsprop"
    lr: float = tunable(
        5e-5, gt=0, low=1e-5, high=4e-4, log=True, source="Arjovsky et al. 2017, Alg. 1: 5e-5"
    )
    n_critic: int = tunable(5, ge=1, low=1, high=5, source="Arjovsky et al. 2017, Alg. 1: 5")
    clip_weights: float | None = tunable(
        0.01, gt=0, low=0.001, high=0.1, log=True, source="Arjovsky et al. 2017, Alg. 1: 0.01"
    )


class WGAN(DCGAN):
    """A GAN whose critic has bounded weights."""

    Config = WGANConfig
    paper = "Arjovsky, Chintala & Bottou 2017, Wasserstein GAN, https://arxiv.org/abs/1701.07875"
