"""Saharia et al. 2021, Image Super-Resolution via Iterative Refinement (SR3).

https://arxiv.org/abs/2104.07636

Diffusion whose network also gets the small image, enlarged by bicubic interpolation. Small images are the
sources of a batch, or antialiased bicubic reductions of its images.
"""

from __future__ import annotations

import dataclasses

from pydantic import Field
from torch import Tensor

from models import diffusion
from models.data_spec import DataSpec
from models.diffusion import Diffusion
from models.diffusion_config import CONDITIONED, DiffusionConfig
from models.family import Batch, Noise
from models.parts.conditions import Condition
from models.parts.resizing import enlarged, reduced
from models.search_space import tunable


class SuperResolutionConfig(DiffusionConfig):
    """Diffusion's hyperparameters, and the scale of enlargement."""

    scale: int | None = Field(None, ge=2)  # large side over small side; None: 4, 3 or 2 by resolution
    guidance_scale: float = tunable(
        1.0, ge=0, low=1.0, high=4.0, sampling=True, active_if=CONDITIONED, source="Saharia et al. 2021: none"
    )  # of class or caption; the small image itself is never dropped


def scale_of(config: SuperResolutionConfig, card: DataSpec) -> int:
    """Return `config.scale`, or the largest of 4, 3 and 2 that divides the resolution."""
    return config.scale or next((scale for scale in (4, 3, 2) if card.resolution % scale == 0), 4)


class Generator(diffusion.Generator):
    """A denoiser conditioned on the small image."""

    config: SuperResolutionConfig

    @property
    def source_resolution(self) -> int:
        """Side of a small image in pixels: of the data's sources, or by the scale."""
        if self.card.source:
            return self.card.source.resolution
        return self.card.resolution // scale_of(self.config, self.card)

    def extra_channels(self) -> int:
        """Channels concatenated with the noisy image: those of the small image."""
        return self.card.channels

    def conditioning_image(self, batch: Batch, noise: Noise | None = None) -> Tensor:
        """Return the enlarged source, or the image reduced and enlarged, (N, C, H, W) in [-1, 1]."""
        if batch.source is not None:
            return enlarged(batch.source, self.card.resolution)
        assert batch.image is not None
        return enlarged(reduced(batch.image, self.source_resolution), self.card.resolution)

    def condition(self, batch: Batch, noise: Noise | None = None) -> Condition:
        """Return the network's condition: the small image, and the class or caption if used."""
        return dataclasses.replace(super().condition(batch), image=self.conditioning_image(batch))

    def start(self, batch: Batch) -> Tensor | None:
        """The image to noise and start from if `strength` is below 1: the enlarged small image."""
        return self.conditioning_image(batch) if self.config.strength < 1 else None


class SuperResolution(Diffusion):
    """Diffusion from small images to large ones."""

    Config = SuperResolutionConfig
    task = "upscale"
    takes = Diffusion.takes | {"source"}
    paper = (
        "Saharia et al. 2021, Image Super-Resolution via Iterative Refinement, "
        "https://arxiv.org/abs/2104.07636"
    )

    def build_generator(self) -> Generator:
        """Return a new generator."""
        scale, resolution, source = scale_of(self.config, self.card), self.card.resolution, self.card.source
        if source:
            self.card.check_same_colours()
        if not source and resolution % scale:
            raise ValueError(f"scale={scale} must divide the resolution, {resolution}")
        return Generator(self.config, self.card, self.conditions(self.config, self.card))
