"""Saharia et al. 2022, Palette: Image-to-Image Diffusion Models.

https://arxiv.org/abs/2111.05826

Diffusion from sources to images of the same size, trained on pairs: the network also gets the source, beside
the noisy image. Process, network and loss are those of the family `diffusion`, as set; the paper's network
predicts the noise (`prediction: eps`). Inpainting has a family of its own.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor

from models import diffusion
from models.diffusion import Diffusion
from models.diffusion_config import CONDITIONED, DiffusionConfig
from models.family import Batch, Noise
from models.parts.conditions import Condition
from models.search_space import tunable


class PaletteConfig(DiffusionConfig):
    """Diffusion's hyperparameters."""

    guidance_scale: float = tunable(
        1.0, ge=0, low=1.0, high=4.0, sampling=True, active_if=CONDITIONED, source="Saharia et al. 2022: none"
    )  # of class or caption; the source itself is never dropped


class Generator(diffusion.Generator):
    """A denoiser conditioned on a source."""

    config: PaletteConfig

    def extra_channels(self) -> int:
        """Channels concatenated with the noisy image: those of the source."""
        assert self.card.source is not None
        return self.card.source.channels

    def conditioning_image(self, batch: Batch, noise: Noise | None = None) -> Tensor:
        """Return the sources, (N, C', H, W) in [-1, 1]."""
        assert batch.source is not None
        return batch.source

    def condition(self, batch: Batch, noise: Noise | None = None) -> Condition:
        """Return the network's condition: the source, and the class or caption if used."""
        return dataclasses.replace(super().condition(batch), image=self.conditioning_image(batch))

    def start(self, batch: Batch) -> Tensor | None:
        """The image to noise and start from if `strength` is below 1: the source."""
        return self.conditioning_image(batch) if self.config.strength < 1 else None


class Palette(Diffusion):
    """Diffusion from sources to images."""

    Config = PaletteConfig
    config: PaletteConfig
    task = "translate"
    needs = frozenset({"source"})
    paper = "Saharia et al. 2022, Palette: Image-to-Image Diffusion Models, https://arxiv.org/abs/2111.05826"

    def build_generator(self) -> Generator:
        """Return a new generator."""
        self.card.source_of_same_size()
        if self.config.strength < 1:
            self.card.check_same_colours("sampling cannot start from a source, so set strength: 1")
        return Generator(self.config, self.card, self.conditions(self.config, self.card))
