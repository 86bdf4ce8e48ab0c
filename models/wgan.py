"""Arjovsky, Chintala & Bottou 2017, Wasserstein GAN.

https://arxiv.org/abs/1701.07875

    D: min E[D(G(z))] - E[D(x)] over weights in [-c, c]        G: min -E[D(G(z))]

DCGAN's networks, BatchNorm in the critic included. RMSProp, since momentum unsettles the critic (Sec. 4), and
five critic steps a step of G, each on other images. Clipped weights make a poor critic, as the authors say
themselves (Sec. 3); WGAN-GP mends that.
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
    """A critic of bounded weights, then G."""

    Config = WGANConfig
    paper = "Arjovsky, Chintala & Bottou 2017, Wasserstein GAN, https://arxiv.org/abs/1701.07875"
