"""The preparation of images for each kind of extractor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from components.common.errors import InputError
from components.extractors.pretrained import EFFICIENTNET_EDGES, INCEPTION_EDGE

LARGEST = 64  # pixels, to which extractors trained on the data reduce larger images


def check_images(images: Any, channels: int | None = None, resolution: int | None = None) -> np.ndarray:
    """Return `images` as a uint8 array (N, C, H, W).

    Raises:
        InputError: There are no images, or their type, channels or resolution are wrong.
    """
    array = images.detach().cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
    if array.ndim != 4 or not len(array):
        raise InputError(f"no images to evaluate: expected (N, C, H, W) with N >= 1, got shape {array.shape}")
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise InputError("images contain NaN or infinite pixels; expected uint8 from 0 to 255")
    if array.dtype != np.uint8:
        raise InputError(f"images are {array.dtype}; expected uint8 from 0 to 255")
    if channels is None and array.shape[1] not in (1, 3):
        raise InputError(f"images have {array.shape[1]} channels; expected 1 (grey) or 3 (RGB)")
    expected = (channels or array.shape[1], resolution or array.shape[2], resolution or array.shape[3])
    if array.shape[1:] != expected:
        raise InputError(f"images are {_shape(array.shape[1:])}; the extractor accepts {_shape(expected)}")
    return array


def _shape(shape: tuple[int, ...]) -> str:
    colours = {1: "grey", 3: "RGB"}.get(shape[0], f"{shape[0]} channels")
    return f"{colours} {shape[2]}x{shape[1]}"


def prepare_own(images: Tensor, resize: int) -> Tensor:
    """Return pixels in [-1, 1] at `resize` x `resize` pixels."""
    return bilinear(images.float() / 127.5 - 1, resize)


def prepare_inception(images: Tensor) -> Tensor:
    """Return pixels in [-1, 1) of RGB images at 299 pixels, resized as in TensorFlow 1; grey is repeated."""
    x = (tensorflow_resize(images.float(), INCEPTION_EDGE) - 128) / 128
    return x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def prepare_efficientnet(images: Tensor) -> Tensor:
    """Return pixels in [-127/128, 1] of RGB images; grey is repeated.

    The edge is rounded up to a multiple of 32 pixels, as the network's padding requires. It is at least 96,
    for the sake of the last pooling, and at most 224, the size of training.
    """
    smallest, largest = EFFICIENTNET_EDGES
    edge = min(max(-(-max(images.shape[-2:]) // 32) * 32, smallest), largest)
    return (bilinear(images.float(), edge).expand(-1, 3, -1, -1) - 127) / 128


def prepare_custom(images: Tensor, resize: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return (pixels / 255 - mean) / std at `resize` pixels; mean and std have 1 or C values."""
    shift, scale = (torch.tensor(x, device=images.device).view(-1, 1, 1) for x in (mean, std))
    return (bilinear(images.float() / 255, resize) - shift) / scale


def bilinear(x: Tensor, edge: int) -> Tensor:
    """Resize images (N, C, H, W) to `edge` x `edge` pixels, with antialiasing."""
    if x.shape[-2:] == (edge, edge):
        return x
    return F.interpolate(x, size=(edge, edge), mode="bilinear", antialias=True, align_corners=False)


def tensorflow_resize(x: Tensor, edge: int) -> Tensor:
    """Resize images (N, C, H, W) to `edge` x `edge` pixels like tf.image.resize_bilinear of TensorFlow 1.

    There is no antialiasing, and pixel i of the result is at i * H / edge: corners, not centres, coincide.
    Resizing is linear in rows and columns, so it is two products with small matrices.
    """
    rows, columns = (_interpolation(x.shape[axis], edge).to(x) for axis in (2, 3))
    return rows @ x @ columns.T


def _interpolation(source: int, edge: int) -> Tensor:
    """Return a matrix (edge, source) whose row i has the interpolation weights at i * source / edge."""
    position = torch.arange(edge, dtype=torch.float32) * (source / edge)
    low = position.long()
    high = (low + 1).clamp(max=source - 1)
    weight, rows = position - low, torch.arange(edge)
    matrix = torch.zeros(edge, source)
    matrix[rows, low] += 1 - weight
    matrix[rows, high] += weight
    return matrix
