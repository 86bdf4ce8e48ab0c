"""van den Oord, Vinyals & Kavukcuoglu 2017, Neural Discrete Representation Learning.

https://arxiv.org/abs/1711.00937

    min E[-log p(x|e)] + b |z - sg(e)|^2,   e the nearest of K codes, pixel by pixel

This is models/kl_vae.py with `quantizer: vq`. Latent diffusion builds on it if an experiment has no kl_vae.
"""

from __future__ import annotations

from typing import Literal

from models.kl_vae import KLVAE, KLVAEConfig
from models.search_space import tunable


class VQVAEConfig(KLVAEConfig):
    """Hyperparameters of the VQ-VAE."""

    # fmt: off
    quantizer: Literal["vq"] = "vq"
    likelihood: Literal["gaussian", "l1"] = tunable("gaussian",
        source="van den Oord et al. 2017, authors' example: squared error")
    codebook_size: int = tunable(256, ge=2, choices=(64, 128, 256, 512), recommended=512,  # K
        source="van den Oord et al. 2017, Sec. 4: 512, for photographs; pythae: 256",
        active_if=("quantizer", "vq"))


class VQVAE(KLVAE):
    """A convolutional autoencoder with a codebook, whose use and perplexity are logged."""

    Config = VQVAEConfig
    paper = (
        "van den Oord, Vinyals & Kavukcuoglu 2017, Neural Discrete Representation Learning, "
        "https://arxiv.org/abs/1711.00937"
    )
