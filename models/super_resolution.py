"""Saharia et al. 2021, Image Super-Resolution via Iterative Refinement (SR3).

https://arxiv.org/abs/2104.07636

Diffusion whose network sees the small image, enlarged by bicubic interpolation, beside the noisy one. Small
images are antialiased bicubic reductions of the data, or given as sources.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from torch.nn.functional import interpolate

from models import diffusion
from models.conditions import Condition
from models.diffusion import Diffusion, DiffusionConfig
from models.family import Batch, Noise


class SuperResolutionConfig(DiffusionConfig):
    """Diffusion's hyperparameters, and by how much images are enlarged."""

    scale: int = Field(4, ge=2)  # sides of the large image over those of the small one
    guidance: float = Field(1.0, ge=0)  # the small image is never withheld, so there is nothing to lean on


def reduced(image: Tensor, scale: int) -> Tensor:
    """The small image (N, C, H / s, W / s) of a large one, by antialiased bicubic reduction."""
    side = image.shape[-1] // scale
    return interpolate(image.float(), size=(side, side), mode="bicubic", antialias=True).clamp(-1, 1)


def enlarged(source: Tensor, resolution: int) -> Tensor:
    """A small image at the size of the large one, by bicubic interpolation."""
    large = interpolate(source.float(), size=(resolution, resolution), mode="bicubic", align_corners=False)
    return large.clamp(-1, 1)


class Generator(diffusion.Generator):
    """A denoiser that sees the small image."""

    config: SuperResolutionConfig

    def beside(self) -> int:
        """Channels of what `condition` lays beside the noisy image."""
        return self.card.channels

    def given(self, batch: Batch, noise: Noise | None = None) -> Tensor:
        """The enlarged small image, (N, C, H, W) in [-1, 1]: a source, or of the image itself."""
        if batch.source is not None:
            return enlarged(batch.source, self.card.resolution)
        assert batch.image is not None
        return enlarged(reduced(batch.image, self.config.scale), self.card.resolution)

    def condition(self, batch: Batch, noise: Noise | None = None) -> Condition:
        """What the network is told: the small image and what else the data has."""
        told = super().condition(batch)
        return Condition(told.label, told.text, told.text_mask, self.given(batch))

    def start(self, batch: Batch) -> Tensor | None:
        """The enlarged small image, never the large one that it is made from."""
        return self.given(batch) if self.config.strength < 1 else None


class SuperResolution(Diffusion):
    """Diffusion from small images to large ones."""

    Config = SuperResolutionConfig
    task = "upscale"
    paper = (
        "Saharia et al. 2021, Image Super-Resolution via Iterative Refinement, "
        "https://arxiv.org/abs/2104.07636"
    )

    def built(self) -> Generator:
        """The generator of this kind of diffusion."""
        scale, resolution = self.config.scale, self.card.resolution
        if resolution % scale:
            raise ValueError(f"scale={scale} must divide the resolution, {resolution}")
        return Generator(self.config, self.card, self.conditions(self.config, self.card))
