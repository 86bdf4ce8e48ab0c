"""Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville 2017, Improved Training of Wasserstein GANs.

https://arxiv.org/abs/1704.00028

    D: min E[D(G(z))] - E[D(x)] + lambda E[(|grad D(x^)| - 1)^2]        G: min -E[D(G(z))]

with x^ on lines between images and samples. DCGAN's networks without BatchNorm in the critic, whose slope is
meant image by image (Sec. 4).
"""

from __future__ import annotations

from pydantic import Field

from models.adversarial import LossName, Norm
from models.dcgan import DCGAN, DCGANConfig


class WGANGPConfig(DCGANConfig):
    """Hyperparameters of WGAN-GP: the authors' for convolutional networks on MNIST."""

    loss: LossName = "wasserstein"
    lr: float = Field(1e-4, gt=0)
    beta1: float = Field(0.5, ge=0, lt=1)  # Algorithm 1 has 0, for residual networks
    beta2: float = Field(0.9, ge=0, lt=1)
    n_critic: int = Field(5, ge=1)
    norm: Norm = "none"
    gradient_penalty: float = Field(10, ge=0)


class WGANGP(DCGAN):
    """A critic whose slope is near 1, then G."""

    Config = WGANGPConfig
    paper = (
        "Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville 2017, Improved Training of Wasserstein GANs, "
        "https://arxiv.org/abs/1704.00028"
    )
