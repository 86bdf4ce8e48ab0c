"""Return source images in the shape of the data: the input of a translation and its trivial baseline."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from components.data.dataset import to_float, to_uint8
from components.sampling import generate
from models.data_spec import DataSpec
from models.family import Generator

LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in grey, ITU-R BT.601


def source_images(
    generator: Generator,
    card: DataSpec,
    *,
    n: int,
    seed: int,
    start: int = 0,
    device: str = "cpu",
    **conditions: Any,
) -> np.ndarray | None:
    """Return the sources of samples, as uint8 images (n, C, H, W) of the data's shape.

    They are the data's sources, resized, or the generator's `conditioning_image` with the noise of the same
    samples; None for a generator without one.
    """
    sources = conditions.get("sources")
    if sources is not None:
        return as_images(np.asarray(sources[np.arange(start, start + n)]), card)
    if not hasattr(generator, "conditioning_image"):
        return None
    fixed = {"n": n, "seed": seed, "start": start, "device": device}
    return generate.draw(generator, card, method="conditioning_image", **fixed, **conditions)


def as_images(sources: np.ndarray, card: DataSpec) -> np.ndarray:
    """Return uint8 sources (N, C', H', W') as images (N, C, H, W), bicubic if the size differs.

    Grey becomes RGB with three equal channels; RGB becomes grey by luminance.
    """
    images = to_float(np.ascontiguousarray(sources))
    if images.shape[2:] != card.shape[1:]:
        shrinks = images.shape[2] > card.resolution
        images = interpolate(
            images, size=card.shape[1:], mode="bicubic", align_corners=False, antialias=shrinks
        ).clamp(-1, 1)
    if card.channels == 1 and images.shape[1] == 3:
        images = (images * torch.tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    return to_uint8(images.expand(-1, card.channels, -1, -1)).numpy()
