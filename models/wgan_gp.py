"""Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville 2017, Improved Training of Wasserstein GANs.

https://arxiv.org/abs/1704.00028

    D: min E[D(G(z))] - E[D(x)] + lambda E[(|grad D(x^)| - 1)^2]        G: min -E[D(G(z))]

with x^ on lines between images and samples. DCGAN's networks without BatchNorm in the critic, whose slope is
meant image by image (Sec. 4).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from models.adversarial_config import LossName, Norm
from models.dcgan import DCGAN, DCGANConfig
from models.search_space import Range


class WGANGPConfig(DCGANConfig):
    """Hyperparameters of WGAN-GP: the authors' for convolutional networks on MNIST."""

    loss: LossName = "wasserstein"
    lr: Annotated[
        float, Range(5e-5, 4e-4, "log", source="Gulrajani et al. 2017, Alg. 1: 1e-4", recommended=1e-4)
    ] = Field(1e-4, gt=0)
    # Algorithm 1 has 0, for residual networks.
    beta1: Annotated[
        float,
        Range(
            0.0,
            0.9,
            source="Gulrajani et al. 2017, authors' code for MNIST: 0.5; Alg. 1: 0",
            where=("optimizer", "adam"),
            recommended=0.5,
        ),
    ] = Field(0.5, ge=0, lt=1)
    beta2: float = Field(0.9, ge=0, lt=1)
    n_critic: Annotated[int, Range(1, 5, source="Gulrajani et al. 2017, Alg. 1: 5", recommended=5)] = Field(
        5, ge=1
    )
    norm: Norm = "none"
    gradient_penalty: Annotated[
        float,
        Range(1.0, 30.0, "log", source="Gulrajani et al. 2017, Sec. 4: 10 everywhere", recommended=10.0),
    ] = Field(10, ge=0)


class WGANGP(DCGAN):
    """A critic whose slope is near 1, then G."""

    Config = WGANGPConfig
    paper = (
        "Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville 2017, Improved Training of Wasserstein GANs, "
        "https://arxiv.org/abs/1704.00028"
    )
