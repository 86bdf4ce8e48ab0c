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
from models.diffusion import Diffusion
from models.diffusion_config import CONDITIONED, DiffusionConfig
from models.family import Batch, Card, Noise
from models.parts.conditions import Condition
from models.search_space import tunable


class SuperResolutionConfig(DiffusionConfig):
    """Diffusion's hyperparameters, and by how much images are enlarged."""

    scale: int | None = Field(None, ge=2)  # large sides over small ones; None: 4, 3 or 2 by resolution
    guidance: float = tunable(
        1.0, ge=0, low=1.0, high=4.0, sampling=True, active_if=CONDITIONED, source="Saharia et al. 2021: none"
    )  # the small image is never withheld, so there is nothing to lean on but class or caption


def scale_of(config: SuperResolutionConfig, card: Card) -> int:
    """By how much images are enlarged."""
    if config.scale:
        return config.scale
    return next((scale for scale in (4, 3, 2) if card.resolution % scale == 0), 4)


def reduced(image: Tensor, side: int) -> Tensor:
    """The small image (N, C, side, side) of a large one, by antialiased bicubic reduction."""
    return interpolate(image.float(), size=(side, side), mode="bicubic", antialias=True).clamp(-1, 1)


def enlarged(source: Tensor, resolution: int) -> Tensor:
    """A small image at the size of the large one, by bicubic interpolation."""
    large = interpolate(source.float(), size=(resolution, resolution), mode="bicubic", align_corners=False)
    return large.clamp(-1, 1)


class Generator(diffusion.Generator):
    """A denoiser that sees the small image."""

    config: SuperResolutionConfig

    @property
    def source_resolution(self) -> int:
        """Pixels a side of a small image: of the data's sources, or by the scale."""
        if self.card.source:
            return self.card.source.resolution
        return self.card.resolution // scale_of(self.config, self.card)

    def beside(self) -> int:
        """Channels of what `condition` lays beside the noisy image."""
        return self.card.channels

    def given(self, batch: Batch, noise: Noise | None = None) -> Tensor:
        """The enlarged small image, (N, C, H, W) in [-1, 1]: a source, or of the image itself."""
        if batch.source is not None:
            return enlarged(batch.source, self.card.resolution)
        assert batch.image is not None
        return enlarged(reduced(batch.image, self.source_resolution), self.card.resolution)

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
    takes = Diffusion.takes | {"source"}
    paper = (
        "Saharia et al. 2021, Image Super-Resolution via Iterative Refinement, "
        "https://arxiv.org/abs/2104.07636"
    )

    def built(self) -> Generator:
        """The generator of this kind of diffusion."""
        scale, resolution, source = scale_of(self.config, self.card), self.card.resolution, self.card.source
        if source and source.channels != self.card.channels:
            raise ValueError(f"sources have {source.channels} channels and images {self.card.channels}")
        if not source and resolution % scale:
            raise ValueError(f"scale={scale} must divide the resolution, {resolution}")
        return Generator(self.config, self.card, self.conditions(self.config, self.card))
