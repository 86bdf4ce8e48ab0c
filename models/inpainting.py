"""Saharia et al. 2022, Palette: Image-to-Image Diffusion Models; here, inpainting.

https://arxiv.org/abs/2111.05826

Diffusion whose network sees the image with a hole in it, and where the hole is, beside the noisy image. What
is outside the hole comes out as it was. In training the holes are rectangles at random.
"""

from __future__ import annotations

import torch
from pydantic import Field, model_validator
from torch import Tensor

from models import diffusion
from models.diffusion import Diffusion
from models.diffusion_config import CONDITIONED, DiffusionConfig
from models.family import Batch, Noise
from models.parts.conditions import Condition
from models.search_space import tunable


class InpaintingConfig(DiffusionConfig):
    """Diffusion's hyperparameters, and how large the holes of training and judging are."""

    smallest: float = Field(0.3, gt=0, le=1)  # side of a hole, of the image's
    largest: float = Field(0.7, gt=0, le=1)
    guidance: float = tunable(
        1.0, ge=0, low=1.0, high=4.0, sampling=True, active_if=CONDITIONED, source="Saharia et al. 2022: none"
    )  # the image is never withheld, so there is nothing to lean on but class or caption

    @model_validator(mode="after")
    def _ordered(self) -> InpaintingConfig:
        if self.smallest > self.largest:
            raise ValueError(f"smallest={self.smallest} must not be above largest={self.largest}")
        if self.strength != 1:
            raise ValueError("strength has no use here: what is in a hole is not seen, and starts from noise")
        return self


def holes(noise: Noise, resolution: int, smallest: float, largest: float) -> Tensor:
    """A rectangle an image, 1 inside and 0 outside, (N, 1, H, W); it may lie a quarter beyond the edge."""
    height, width, top, left = noise.uniform(4).unbind(1)
    sides = [smallest + (largest - smallest) * side for side in (height, width)]
    place = (torch.arange(resolution, device=noise.device) + 0.5) / resolution
    inside = []
    for side, start in zip(sides, (top, left), strict=True):
        begin = (start * (1 - side / 2) - side / 4)[:, None]
        inside.append((place >= begin) & (place < begin + side[:, None]))  # (N, resolution)
    return (inside[0][:, None, :, None] & inside[1][:, None, None, :]).float()


class Generator(diffusion.Generator):
    """A denoiser that sees the image around the hole."""

    config: InpaintingConfig

    def beside(self) -> int:
        """Channels of what `condition` lays beside the noisy image."""
        return self.card.channels + 1

    def masked(self, batch: Batch, noise: Noise | None) -> Batch:
        """The batch with a mask: its own, or a hole at random for each image."""
        assert batch.image is not None
        if batch.mask is not None:
            if batch.mask.shape[2:] != batch.image.shape[2:]:
                sizes = ["x".join(map(str, t.shape[2:])) for t in (batch.mask, batch.image)]
                raise ValueError(f"the mask has {sizes[0]} pixels and the image {sizes[1]}; they must agree")
            return batch
        if noise is None:  # in training, from torch's own generator
            noise = Noise(torch.randint(1 << 62, (len(batch),)).tolist(), batch.image.device)
        c = self.config
        mask = holes(noise, self.card.resolution, c.smallest, c.largest)
        return Batch(batch.n, batch.image, batch.label, None, batch.text, batch.text_mask, mask)

    def given(self, batch: Batch, noise: Noise | None = None) -> Tensor:
        """The image with its hole in grey, (N, C, H, W) in [-1, 1]."""
        batch = self.masked(batch, noise)
        assert batch.image is not None and batch.mask is not None
        return batch.image * (1 - batch.mask)

    def condition(self, batch: Batch, noise: Noise | None = None) -> Condition:
        """What the network is told: the image around the hole, the mask, and what else the data has."""
        batch, told = self.masked(batch, noise), super().condition(batch)
        assert batch.mask is not None
        image = torch.cat([self.given(batch), batch.mask], 1)
        return Condition(told.label, told.text, told.text_mask, image)

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """The image with its hole filled."""
        batch = self.masked(batch, noise)
        assert batch.image is not None and batch.mask is not None
        return torch.where(batch.mask > 0, super().sample(batch, noise), batch.image)

    def trajectory(self, batch: Batch, noise: Noise, frames: int) -> Tensor:
        """Noisy images on the way, within the hole: (frames, N, C, H, W) in [-1, 1]."""
        batch = self.masked(batch, noise)
        assert batch.image is not None and batch.mask is not None
        return torch.where(batch.mask > 0, super().trajectory(batch, noise, frames), batch.image)

    def start(self, batch: Batch) -> Tensor | None:
        """Noise alone: what is in the hole is not to be seen."""
        return None


class Inpainting(Diffusion):
    """Diffusion that fills holes."""

    Config = InpaintingConfig
    task = "translate"
    paper = "Saharia et al. 2022, Palette: Image-to-Image Diffusion Models, https://arxiv.org/abs/2111.05826"

    def built(self) -> Generator:
        """The generator of this kind of diffusion."""
        return Generator(self.config, self.card, self.conditions(self.config, self.card))
