"""Saharia et al. 2022, Palette: Image-to-Image Diffusion Models; here, inpainting.

https://arxiv.org/abs/2111.05826

Diffusion whose network also gets the image with a hole and the mask of the hole. The output equals the input
outside the hole. Training uses random rectangles as holes. Unlike in Palette, the whole image is noised, and
by default the loss covers the hole, as in Palette; with loss_pixels: all it covers all of its pixels.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from models import diffusion
from models.diffusion import Diffusion
from models.diffusion_config import CONDITIONED, DiffusionConfig
from models.family import Batch, Noise, Terms
from models.parts.conditions import Condition
from models.search_space import tunable


class InpaintingConfig(DiffusionConfig):
    """Diffusion's hyperparameters, and the size of the holes in training and evaluation."""

    smallest: float = Field(0.3, gt=0, le=1)  # side of a hole over side of the image
    largest: float = Field(0.7, gt=0, le=1)
    loss_pixels: Literal["all", "hole"] = "hole"
    guidance_scale: float = tunable(
        1.0, ge=0, low=1.0, high=4.0, sampling=True, active_if=CONDITIONED, source="Saharia et al. 2022: none"
    )  # of class or caption; the image itself is never dropped

    @model_validator(mode="after")
    def _ordered(self) -> InpaintingConfig:
        if self.smallest > self.largest:
            raise ValueError(f"smallest={self.smallest} must not be above largest={self.largest}")
        if self.strength != 1:
            raise ValueError("strength has no effect on inpainting, which starts from noise; leave it at 1")
        return self


def holes(noise: Noise, resolution: int, smallest: float, largest: float) -> Tensor:
    """Return masks (N, 1, H, W), 1 in a random rectangle, up to a quarter of which is outside the image."""
    height, width, top, left = noise.uniform(4).unbind(1)
    sides = [smallest + (largest - smallest) * side for side in (height, width)]
    centre = (torch.arange(resolution, device=noise.device) + 0.5) / resolution  # of each row or column
    inside = []
    for side, offset in zip(sides, (top, left), strict=True):
        start = (offset * (1 - side / 2) - side / 4)[:, None]
        inside.append((centre >= start) & (centre < start + side[:, None]))  # (N, resolution)
    return (inside[0][:, None, :, None] & inside[1][:, None, None, :]).float()


class Generator(diffusion.Generator):
    """A denoiser conditioned on the image around the hole."""

    config: InpaintingConfig

    def extra_channels(self) -> int:
        """Channels concatenated with the noisy image: the image with its hole, and the mask."""
        return self.card.channels + 1

    def masked(self, batch: Batch, noise: Noise | None) -> Batch:
        """Return the batch with its mask, or with random holes if it has none."""
        assert batch.image is not None
        if batch.mask is not None:
            if batch.mask.shape[2:] != batch.image.shape[2:]:
                sizes = ["x".join(map(str, t.shape[2:])) for t in (batch.mask, batch.image)]
                raise ValueError(f"the mask has {sizes[0]} pixels and the image {sizes[1]}; they must agree")
            return batch
        if noise is None:  # in training, from torch's own generator
            noise = Noise(torch.randint(1 << 62, (len(batch),)).tolist(), batch.image.device)
        mask = holes(noise, self.card.resolution, self.config.smallest, self.config.largest)
        return dataclasses.replace(batch, mask=mask)

    def conditioning_image(self, batch: Batch, noise: Noise | None = None) -> Tensor:
        """Return the image with a grey hole, (N, C, H, W) in [-1, 1]."""
        batch = self.masked(batch, noise)
        assert batch.image is not None and batch.mask is not None
        return batch.image * (1 - batch.mask)

    def condition(self, batch: Batch, noise: Noise | None = None) -> Condition:
        """Return the network's condition: image with hole, mask, and the class or caption if used."""
        batch = self.masked(batch, noise)
        assert batch.mask is not None
        image = torch.cat([self.conditioning_image(batch), batch.mask], 1)
        return dataclasses.replace(super().condition(batch), image=image)

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """Return the image with its hole filled."""
        batch = self.masked(batch, noise)
        assert batch.image is not None and batch.mask is not None
        return torch.where(batch.mask > 0, super().sample(batch, noise), batch.image)

    def trajectory(self, batch: Batch, noise: Noise, frames: int) -> Tensor:
        """Images whose holes go from noise to the sample: (frames, N, C, H, W) in [-1, 1]."""
        batch = self.masked(batch, noise)
        assert batch.image is not None and batch.mask is not None
        return torch.where(batch.mask > 0, super().trajectory(batch, noise, frames), batch.image)

    def start(self, batch: Batch) -> Tensor | None:
        """None: sampling starts from noise, since the hole has no content."""
        return None


class Inpainting(Diffusion):
    """Diffusion that fills holes in images."""

    Config = InpaintingConfig
    config: InpaintingConfig
    generator: Generator
    task = "translate"
    paper = "Saharia et al. 2022, Palette: Image-to-Image Diffusion Models, https://arxiv.org/abs/2111.05826"

    def build_generator(self) -> Generator:
        """Return a new generator."""
        return Generator(self.config, self.card, self.conditions(self.config, self.card))

    def loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """Diffusion's loss, over the whole image or over the hole."""
        if self.config.loss_pixels == "hole":
            batch = self.generator.masked(batch, None)  # drawn here, since the loss needs it too
        return super().loss(batch)

    def per_image(self, error: Tensor, batch: Batch) -> Tensor:
        """The mean of errors (N, C, H, W) over the pixels of each image, or of its hole, (N,)."""
        if self.config.loss_pixels == "all":
            return super().per_image(error, batch)
        assert batch.mask is not None
        mask = batch.mask.expand_as(error).flatten(1)
        return (error.flatten(1) * mask).sum(1) / mask.sum(1).clamp(min=1)
