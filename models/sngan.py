"""Miyato, Kataoka, Koyama & Yoshida 2018, Spectral Normalization for Generative Adversarial Networks.

https://arxiv.org/abs/1802.05957

    D: min E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]        G: min -E[D(G(z))]

with every weight of D divided by its largest singular value, estimated by one step of power iteration per
forward pass; the vectors of the iteration are part of D's state. As in the paper, the weight of a convolution
is the matrix (channels out, channels in x 4 x 4). The convolution itself may have up to twice the norm, since
a kernel of 4 and a stride of 2 read each pixel four times: D's Lipschitz constant is bounded, but not by 1.
The networks are DCGAN's, with one convolution fewer per resolution than the paper's, and without BatchNorm in
D, which would undo the bound.
"""

from __future__ import annotations

from models.adversarial_config import LossName, Norm
from models.dcgan import DCGAN, DCGANConfig
from models.search_space import tunable


class SNGANConfig(DCGANConfig):
    """Hyperparameters of SNGAN: Adam as in Table 1's row C, the authors' five D steps, the hinge loss."""

    # fmt: off
    loss: LossName = tunable("hinge", choices=("hinge", "non_saturating"),
        source="Miyato et al. 2018: hinge, and the standard objective")
    n_critic: int = tunable(5, ge=1, low=1, high=5, source="Miyato et al. 2018, authors' code: 5")
    norm: Norm = "none"
    spectral_norm: bool = True


class SNGAN(DCGAN):
    """A GAN whose discriminator has a bounded Lipschitz constant: at most 2 per convolution."""

    Config = SNGANConfig
    paper = (
        "Miyato, Kataoka, Koyama & Yoshida 2018, Spectral Normalization for Generative Adversarial Networks, "
        "https://arxiv.org/abs/1802.05957"
    )
