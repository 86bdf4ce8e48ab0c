"""Sheets: grids of images, as arrays and as WebP."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from components.common.atomic import replacing
from components.common.errors import InputError
from components.data.dataset import Split

SHEET_COLUMNS = 10  # tiles in a row of a grid; with ten classes, a column each

LARGEST_WEBP = 16383  # pixels: a limit of the format


def grid_rows(split: Split, count: int) -> np.ndarray:
    """Return rows of a split for a grid: classes in turn if there are labels, else the first rows."""
    count = min(count, len(split)) // SHEET_COLUMNS * SHEET_COLUMNS or len(split)
    if split.labels is None:
        return np.arange(count)
    classes = np.unique(split.labels)
    rows_of = {c: iter(np.flatnonzero(split.labels == c)) for c in classes}
    return np.array([next(rows_of[classes[i % len(classes)]], i) for i in range(count)])


def grid(images: np.ndarray, columns: int = SHEET_COLUMNS) -> np.ndarray:
    """Return images (N, C, H, W) as one array (rows H, columns W, C), in row order; spare tiles are black."""
    n, channels, height, width = images.shape
    rows = -(-n // columns)
    tiles = np.concatenate([images, np.zeros((rows * columns - n, channels, height, width), images.dtype)])
    tiles = tiles.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    return tiles.reshape(rows * height, columns * width, channels)


def ungrid(array: np.ndarray, resolution: int, count: int | None = None) -> np.ndarray:
    """Return the images (N, C, resolution, resolution) of a grid; `count` leaves out spare tiles."""
    height, width, channels = array.shape
    assert height % resolution == 0 and width % resolution == 0, (
        f"{height}x{width} holds no tiles of {resolution}"
    )
    tiles = array.reshape(height // resolution, resolution, width // resolution, resolution, channels)
    return tiles.transpose(0, 2, 4, 1, 3).reshape(-1, channels, resolution, resolution)[:count]


def encode_webp(image: np.ndarray) -> bytes:
    """Encode a grid (H, W, C), grey or RGB, as lossless WebP, so that its pixels can be evaluated later."""
    check_webp(image)
    channels = image.shape[2]
    assert channels in (1, 3) and image.dtype == np.uint8
    buffer = io.BytesIO()
    Image.fromarray(np.repeat(image, 3, axis=2) if channels == 1 else image).save(
        buffer, "WEBP", lossless=True
    )
    return buffer.getvalue()


def check_webp(image: np.ndarray) -> None:
    """Raise InputError if a grid (H, W, C) is too large for WebP."""
    height, width, _ = image.shape
    if max(height, width) > LARGEST_WEBP:
        raise InputError(
            f"a grid of {width}x{height} pixels is too large for WebP ({LARGEST_WEBP}); draw fewer images"
        )


def decode_webp(data: bytes, channels: int = 3) -> np.ndarray:
    """Decode a grid (H, W, channels) of `encode_webp`; WebP stores grey as three equal channels."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))[:, :, :channels]


def save_webp(image: np.ndarray, path: str | Path) -> None:
    """Write a grid to `path` atomically."""
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(encode_webp(image))


def read_webp(path: str | Path, channels: int = 3) -> np.ndarray:
    """Read a grid written by `save_webp`."""
    return decode_webp(Path(path).read_bytes(), channels)
