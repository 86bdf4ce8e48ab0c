"""Rombach et al. 2022, High-Resolution Image Synthesis with Latent Diffusion Models.

https://arxiv.org/abs/2112.10752

    min E[w |F(z_t, t) - (a z_0 + b eps)|^2]   with z_0 ~ q(z|x) / std(z), x = D(z)

Diffusion of models/diffusion.py in the latents of a frozen, trained autoencoder. Latents are scaled to a
variance of 1 (App. G), which the noise levels of the processes assume.
"""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from models import diffusion, kl_vae
from models.data_spec import DataSpec
from models.diffusion import Diffusion
from models.diffusion_config import DiffusionConfig
from models.family import Batch, Noise
from models.kl_vae import sampled
from models.parts.layers import to_image


class LatentDiffusionConfig(DiffusionConfig):
    """Hyperparameters of diffusion in latents."""

    sigma_data: float = Field(1.0, gt=0)  # standard deviation of scaled latents

    @model_validator(mode="after")
    def _in_latents(self) -> Self:
        if self.clip_denoised:
            raise ValueError(
                "clip_denoised bounds x_0 to [-1, 1], and latents have no bounds; set clip_denoised: false"
            )
        return self


class Generator(diffusion.Generator):
    """The denoiser of latents and their autoencoder; `card` is that of the latents."""

    def __init__(
        self,
        config: LatentDiffusionConfig,
        card: DataSpec,
        kinds: frozenset[str],
        autoencoder: kl_vae.Generator,
    ):
        super().__init__(config, autoencoder.latents(card), kinds)
        self.autoencoder = autoencoder.requires_grad_(False)

    def start(self, batch: Batch) -> Tensor | None:
        """The latents to noise and start from if `strength` is below 1; None: start from noise."""
        image = super().start(batch)
        return None if image is None else self.encoded(image)

    def encoded(self, image: Tensor) -> Tensor:
        """The mean of q(z|x), scaled."""
        return self.autoencoder.encode(image)[0] * self.autoencoder.scale()

    def decoded(self, x: Tensor) -> Tensor:
        """Decode scaled latents to images in [-1, 1]."""
        return to_image(self.autoencoder.decode(x / self.autoencoder.scale()))

    def noised(self, image: Tensor, noise: Noise, frames: int) -> Tensor:
        """Real images along the forward process of their latents, each decoded."""
        return super().noised(self.encoded(image), noise, frames)


class LatentDiffusion(Diffusion):
    """Diffusion in the latents of an autoencoder, conditional as in pixels."""

    Config = LatentDiffusionConfig
    upstream = {"autoencoder": ("kl_vae", "vqvae")}
    cached_upstream = "autoencoder"
    paper = (
        "Rombach et al. 2022, High-Resolution Image Synthesis with Latent Diffusion Models, "
        "https://arxiv.org/abs/2112.10752"
    )

    generator: Generator

    @classmethod
    def advice(cls, config: DiffusionConfig, card: DataSpec) -> str | None:
        """Nothing: the network reads blocks of latents, not of pixels."""
        return None

    def build_generator(self) -> Generator:
        """Return a new generator with the upstream autoencoder."""
        autoencoder = self.given["autoencoder"]
        assert isinstance(autoencoder, kl_vae.Generator)
        return Generator(self.config, self.card, self.conditions(self.config, self.card), autoencoder)

    def encoded(self, batch: Batch) -> Tensor:
        """Sample z_0 ~ q(z|x), scaled, from the cached moments of q or from the images."""
        autoencoder = self.generator.autoencoder
        if batch.latent is not None:
            mean, log_variance = batch.latent.unbind(1)
        else:
            assert batch.image is not None
            with torch.no_grad():
                mean, log_variance = autoencoder.encode(batch.image)
        return sampled(mean, log_variance) * autoencoder.scale()
