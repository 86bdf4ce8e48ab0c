"""Exponential moving average of a generator, with a half-life in images."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from models.family import Family, Generator


def decay(batch: int, images: int, half_life_images: int | None, ramp_up: float) -> float:
    """Return the weight of the old average in one update, with a half-life in images as in StyleGAN2-ADA.

    Args:
        batch: images per update.
        images: images so far, including this batch.
        half_life_images: after this many images an old value has half its weight. 0: no averaging. None:
            `ramp_up` alone decides, a power-function average (Karras et al. 2024), whose length is the same
            fraction of any run.
        ramp_up: the half-life is at most this fraction of `images`, so that a short run forgets its start.
    """
    half_life = images * ramp_up
    if half_life_images is not None:
        half_life = min(half_life_images, half_life)
    return 0.5 ** (batch / half_life) if half_life > 0 else 0.0


class EMA:
    """The averaged copy of a family's generator: parameters are averaged, buffers copied."""

    def __init__(self, generator: Generator, half_life_images: int | None, ramp_up: float):
        self.generator = copy.deepcopy(generator).eval().requires_grad_(False)
        self.half_life_images, self.ramp_up = half_life_images, ramp_up
        self._averaged: list[Tensor] = list(self.generator.parameters())
        self._trained = [p.detach() for p in generator.parameters()]  # share memory with the parameters
        self._buffers = list(zip(self.generator.buffers(), generator.buffers(), strict=True))

    @torch.no_grad()
    def update(self, batch: int, images: int) -> None:
        """Move the average towards the trained parameters, once per step."""
        weight = 1 - decay(batch, images, self.half_life_images, self.ramp_up)
        torch._foreach_lerp_(self._averaged, self._trained, weight)
        for averaged, trained in self._buffers:
            averaged.copy_(trained)

    @contextmanager
    def in_place_in(self, family: Family) -> Iterator[None]:
        """Use the averaged generator as `family`'s generator in this context."""
        trained, family.generator = family.generator, self.generator
        try:
            yield
        finally:
            family.generator = trained
