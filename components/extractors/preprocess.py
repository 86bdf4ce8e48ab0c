"""Prepare images for each kind of extractor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from components.common.errors import InputError

LARGEST = 64  # pixels: larger images are reduced to this before a trained extractor sees them

INCEPTION_EDGE = 299  # pixels

EFFICIENTNET_EDGES = (96, 224)  # pixels: what it sees at least, and at most, which it was trained at


def check_images(images: Any, channels: int | None = None, resolution: int | None = None) -> np.ndarray:
    """`images` as a uint8 array (N, C, H, W), or one sentence saying what is wrong with them."""
    array = images.detach().cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
    if array.ndim != 4 or not len(array):
        raise InputError(f"no images to judge: expected (N, C, H, W) with N >= 1, got shape {array.shape}")
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise InputError("images contain NaN or infinite pixels; expected uint8 from 0 to 255")
    if array.dtype != np.uint8:
        raise InputError(f"images are {array.dtype}; expected uint8 from 0 to 255")
    if channels is None and array.shape[1] not in (1, 3):
        raise InputError(f"images have {array.shape[1]} channels; expected 1 (grey) or 3 (RGB)")
    wanted = (channels or array.shape[1], resolution or array.shape[2], resolution or array.shape[3])
    if array.shape[1:] != wanted:
        raise InputError(f"images are {_shape(array.shape[1:])}; the extractor was made for {_shape(wanted)}")
    return array


def _shape(shape: tuple[int, ...]) -> str:
    kind = {1: "grey", 3: "RGB"}.get(shape[0], f"{shape[0]} channels")
    return f"{kind} {shape[2]}x{shape[1]}"


def prepare_own(images: Tensor, resize: int) -> Tensor:
    """Pixels in [-1, 1], reduced to `resize` where larger."""
    return bilinear(images.float() / 127.5 - 1, resize)


def prepare_inception(images: Tensor) -> Tensor:
    """Pixels in [-1, 1) of RGB images at 299 pixels, resized as TensorFlow 1 did; grey is repeated."""
    x = (tensorflow_resize(images.float(), INCEPTION_EDGE) - 128) / 128
    return x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def prepare_efficientnet(images: Tensor) -> Tensor:
    """Pixels in [-127/128, 1] of RGB images; grey is repeated.

    Their edge becomes the next multiple of 32 pixels, at which the network's padding is right: not below 96,
    where too little is left to pool, and not above 224, which it was trained at.
    """
    least, most = EFFICIENTNET_EDGES
    edge = min(max(-(-max(images.shape[-2:]) // 32) * 32, least), most)
    return (bilinear(images.float(), edge).expand(-1, 3, -1, -1) - 127) / 128


def prepare_custom(images: Tensor, resize: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(pixels / 255 - mean) / std at `resize` pixels; mean and std are one number, or one per channel."""
    shift, scale = (torch.tensor(x, device=images.device).view(-1, 1, 1) for x in (mean, std))
    return (bilinear(images.float() / 255, resize) - shift) / scale


def bilinear(x: Tensor, edge: int) -> Tensor:
    """Images (N, C, H, W) at `edge` x `edge` pixels, antialiased where that reduces them."""
    if x.shape[-2:] == (edge, edge):
        return x
    return F.interpolate(x, size=(edge, edge), mode="bilinear", antialias=True, align_corners=False)


def tensorflow_resize(x: Tensor, edge: int) -> Tensor:
    """Images (N, C, H, W) at `edge` x `edge` pixels as tf.image.resize_bilinear of TensorFlow 1 made them.

    No antialiasing, and pixel i of the result is read at i * H / edge: corners, not centres, coincide at 0.
    It is linear in rows and in columns, so that two small matrices do it.
    """
    rows, columns = (_interpolation(x.shape[axis], edge).to(x) for axis in (2, 3))
    return rows @ x @ columns.T


def _interpolation(source: int, edge: int) -> Tensor:
    """(edge, source): row i holds the two weights that interpolate at i * source / edge."""
    place = torch.arange(edge, dtype=torch.float32) * (source / edge)
    low = place.long()
    high = (low + 1).clamp(max=source - 1)
    weight, at = place - low, torch.arange(edge)
    matrix = torch.zeros(edge, source)
    matrix[at, low] += 1 - weight
    matrix[at, high] += weight
    return matrix
