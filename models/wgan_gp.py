"""Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville 2017, Improved Training of Wasserstein GANs.

https://arxiv.org/abs/1704.00028

    D: min E[D(G(z))] - E[D(x)] + lambda E[(|grad D(x^)| - 1)^2]        G: min -E[D(G(z))]

with x^ on lines between images and samples. The networks are DCGAN's, without BatchNorm in the critic, since
the penalty applies to each image separately (Sec. 4).
"""

from __future__ import annotations

from pydantic import Field

from models.adversarial_config import LossName, Norm
from models.dcgan import DCGAN, DCGANConfig
from models.search_space import tunable


class WGANGPConfig(DCGANConfig):
    """Hyperparameters of WGAN-GP: the authors' values for convolutional networks on MNIST."""

    # fmt: off
    loss: LossName = "wasserstein"
    lr: float = tunable(1e-4, gt=0, low=5e-5, high=4e-4, log=True,
        source="Gulrajani et al. 2017, Alg. 1: 1e-4")
    # Algorithm 1 has 0, for residual networks.
    beta1: float = tunable(0.5, ge=0, lt=1, low=0.0, high=0.9, active_if=("optimizer", "adam"),
        source="Gulrajani et al. 2017, authors' code for MNIST: 0.5; Alg. 1: 0")
    beta2: float = Field(0.9, ge=0, lt=1)
    n_critic: int = tunable(5, ge=1, low=1, high=5, source="Gulrajani et al. 2017, Alg. 1: 5")
    norm: Norm = "none"
    gradient_penalty: float = tunable(10, ge=0, low=1.0, high=30.0, log=True, recommended=10.0,
        source="Gulrajani et al. 2017, Sec. 4: 10 everywhere")


class WGANGP(DCGAN):
    """A GAN whose critic has gradients of norm 1."""

    Config = WGANGPConfig
    paper = (
        "Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville 2017, Improved Training of Wasserstein GANs, "
        "https://arxiv.org/abs/1704.00028"
    )
