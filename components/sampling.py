"""A generator and a seed -> images. Image i is a function of weights, seed and condition alone.

Not of who draws it: each image has its own noise, and images are drawn in chunks cut at fixed global
positions, so a call for images 40 to 70 gives the same bytes as the middle of a call for all of them.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from components.data.dataset import Split, to_float, to_uint8
from components.data.encoded import Text
from components.errors import Diverged, InputError, RunError
from models.family import Batch, Card, Generator, Noise

SHEET_COLUMNS = 10  # tiles in a row of a grid; digits then come a class a column
# Images drawn, and looked at by an extractor, at once: cut at fixed global positions, the last chunk padded.
CHUNK = 64
LARGEST_WEBP = 16383  # pixels: a limit of the format


class Rows(Protocol):
    """Images by position: an array, or the images of a split."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray: ...


def generate(
    generator: Generator,
    card: Card,
    *,
    n: int,
    seed: int,
    start: int = 0,  # images [start, start + n) of the endless stream of this seed
    batch: int = CHUNK,  # drawn at once; another value changes pixels by float rounding only
    labels: str
    | int
    | Sequence[int]
    | np.ndarray
    | None = None,  # "data", one class, or the class of image i at [i]
    counts: Sequence[int] | None = None,  # images per class in the data, which labels="data" follows
    images: Rows | None = None,  # uint8 (M, C, H, W): image i is made from images[i] (reconstruction)
    sources: Rows
    | None = None,  # uint8 (M, C', H', W'): image i is made from sources[i] (translation, upscaling)
    text: Text | None = None,  # image i is told the caption of text[i]
    masks: Rows | None = None,  # uint8 (M, 1, H, W): image i is filled in where masks[i] is white
    method: str = "sample",  # of the generator; "given" shows what images are made from
    device: torch.device | str = "cpu",
) -> Iterator[np.ndarray]:
    """Yield uint8 images (b, C, H, W) in order, drawn in eval mode and float32, without gradients.

    The generator must be on `device` already.

    Raises:
        InputError: There are fewer conditions than images, or a label is not one of the classes.
        RunError: The generator gives NaN or images of the wrong shape.
    """
    _check_conditions(start + n, labels=labels, images=images, sources=sources, captions=text, masks=masks)
    _check_classes(labels, card.num_classes)
    for first in range(start - start % batch, start + n, batch):
        indices = np.arange(first, first + batch)  # the whole chunk, whatever part of it was asked for
        condition = _condition(indices, seed, labels, counts, images, sources, text, masks).to(device)
        noise = Noise([seed_of(seed, int(i)) for i in indices], device)
        chunk = _draw(getattr(generator, method), condition, noise, card, first, generator)
        yield chunk[max(start - first, 0) : start + n - first]


def draw(generator: Generator, card: Card, **arguments: Any) -> np.ndarray:
    """All images of `generate` as one array (n, C, H, W)."""
    return np.concatenate(list(generate(generator, card, **arguments)))


def _draw(
    sample: Callable[[Batch, Noise], Tensor],
    condition: Batch,
    noise: Noise,
    card: Card,
    first: int,
    generator: Generator,
) -> np.ndarray:
    # Here and not around the loop of `generate`, where a mode would reach the code between two chunks.
    with eval_mode(generator), torch.no_grad(), torch.autocast(noise.device.type, enabled=False):
        images = sample(condition, noise)
    if tuple(images.shape) != (len(noise), *card.shape):
        raise RunError(
            f"the generator gave images of shape {tuple(images.shape[1:])}; the data set has {card.shape}"
        )
    if not torch.isfinite(images).all():
        bad = first + int((~torch.isfinite(images.flatten(1)).all(1)).nonzero()[0])
        raise Diverged(
            f"the generator gave NaN or infinite pixels, first in image {bad}; its training has diverged"
        )
    return to_uint8(images).cpu().numpy()


@contextmanager
def eval_mode(generator: nn.Module) -> Iterator[None]:
    """Eval mode inside; every module's own mode back afterwards."""
    modes = [(module, module.training) for module in generator.modules()]
    generator.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _check_conditions(needed: int, **conditions: Any) -> None:
    for name, rows in conditions.items():
        if rows is not None and not isinstance(rows, str | int | np.integer) and len(rows) < needed:
            raise InputError(
                f"{needed} images were asked for, but there are only {len(rows)} {name} to make them from"
            )


def _check_classes(labels: str | int | Sequence[int] | np.ndarray | None, num_classes: int) -> None:
    if labels is None or isinstance(labels, str):
        return
    wrong = [int(label) for label in np.unique(labels) if not 0 <= label < num_classes]
    if wrong:
        known = f"classes 0 to {num_classes - 1}" if num_classes else "no classes"
        raise InputError(f"label {wrong[0]} was asked for; the data set has {known}")


def _condition(
    indices: np.ndarray,
    seed: int,
    labels: str | int | Sequence[int] | np.ndarray | None,
    counts: Sequence[int] | None,
    images: Rows | None,
    sources: Rows | None,
    text: Text | None,
    masks: Rows | None,
) -> Batch:
    """What the images at `indices` are made from; past the end the last condition pads the chunk."""
    label = None if labels is None else classes(indices, seed, labels, counts)
    tokens, mask = (None, None) if text is None else text[_padded(text, indices)].tensors()
    return Batch(
        n=len(indices),
        image=None if images is None else _pixels(images, indices),
        label=None if label is None else torch.from_numpy(label),
        source=None if sources is None else _pixels(sources, indices),
        text=tokens,
        text_mask=mask,
        mask=None if masks is None else (_pixels(masks, indices) > 0).float(),
    )


def classes(
    indices: np.ndarray,
    seed: int,
    labels: str | int | Sequence[int] | np.ndarray,
    counts: Sequence[int] | None = None,
) -> np.ndarray:
    """The classes of the images at `indices`, (len(indices),) int64, told as `generate` is."""
    if isinstance(labels, str):
        assert labels == "data" and counts is not None, 'labels="data" needs the counts per class'
        return labels_for(indices, counts, seed)
    if isinstance(labels, int | np.integer):
        return np.full(len(indices), labels, dtype=np.int64)
    return _rows(np.asarray(labels, dtype=np.int64), indices)


def _rows(values: Rows, indices: np.ndarray) -> np.ndarray:
    return values[_padded(values, indices)]


def _padded(values: Sized, indices: np.ndarray) -> np.ndarray:
    return np.minimum(indices, len(values) - 1)


def _pixels(values: Rows, indices: np.ndarray) -> Tensor:
    return to_float(np.ascontiguousarray(_rows(values, indices)))


def seed_of(seed: int, index: int) -> int:
    """The seed of the noise of image `index`: nearby seeds and positions give unrelated noise."""
    return _hash("noise", seed, index) >> 1  # torch takes 63 bits


def _hash(use: str, seed: int, index: int) -> int:
    """64 bits that depend on all three."""
    digest = hashlib.blake2b(f"{use}/{seed}/{index}".encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def labels_for(indices: Sequence[int] | np.ndarray, counts: Sequence[int], seed: int) -> np.ndarray:
    """Classes (len(indices),) int64, as frequent as in `counts`; class i depends on (seed, i) alone."""
    bounds = np.cumsum(np.asarray(counts, dtype=np.float64))
    assert len(bounds) and bounds[-1] > 0, "there are no labelled images to follow"
    uniform = np.array([_hash("label", seed, int(i)) for i in indices], dtype=np.float64) / 2.0**64
    classes = np.searchsorted(bounds / bounds[-1], uniform, side="right")
    last = np.flatnonzero(counts)[-1]  # rounding up to 1.0 would fall past it
    return np.minimum(classes, last).astype(np.int64)


def grid_rows(split: Split, count: int) -> np.ndarray:
    """Rows of a split for a grid: a class a column where there are labels, else the first ones."""
    count = min(count, len(split)) // SHEET_COLUMNS * SHEET_COLUMNS or len(split)
    if split.labels is None:
        return np.arange(count)
    classes = np.unique(split.labels)
    seen = {c: iter(np.flatnonzero(split.labels == c)) for c in classes}
    rows = [next(seen[classes[i % len(classes)]], i) for i in range(count)]
    return np.array(rows)


def grid(images: np.ndarray, columns: int = SHEET_COLUMNS) -> np.ndarray:
    """Images (N, C, H, W) as one array (rows H, columns W, C), row by row, no gaps; spare tiles black."""
    n, channels, height, width = images.shape
    rows = -(-n // columns)
    tiles = np.concatenate([images, np.zeros((rows * columns - n, channels, height, width), images.dtype)])
    tiles = tiles.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    return tiles.reshape(rows * height, columns * width, channels)


def ungrid(array: np.ndarray, resolution: int, count: int | None = None) -> np.ndarray:
    """The images (N, C, resolution, resolution) of a grid; `count` leaves out its spare tiles."""
    height, width, channels = array.shape
    assert height % resolution == 0 and width % resolution == 0, (
        f"{height}x{width} holds no tiles of {resolution}"
    )
    tiles = array.reshape(height // resolution, resolution, width // resolution, resolution, channels)
    return tiles.transpose(0, 2, 4, 1, 3).reshape(-1, channels, resolution, resolution)[:count]


def encode_webp(image: np.ndarray) -> bytes:
    """A grid (H, W, C), grey or RGB, as lossless WebP: its pixels can be judged later."""
    height, width, channels = image.shape
    if max(height, width) > LARGEST_WEBP:
        raise InputError(
            f"a grid of {width}x{height} pixels is too large for WebP ({LARGEST_WEBP}); draw fewer images"
        )
    assert channels in (1, 3) and image.dtype == np.uint8
    buffer = io.BytesIO()
    Image.fromarray(np.repeat(image, 3, axis=2) if channels == 1 else image).save(
        buffer, "WEBP", lossless=True
    )
    return buffer.getvalue()


def decode_webp(data: bytes, channels: int = 3) -> np.ndarray:
    """The grid (H, W, channels) that `encode_webp` stored; WebP keeps grey as three equal channels."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))[:, :, :channels]


def save_webp(image: np.ndarray, path: str | Path) -> None:
    """Write a grid to `path`, whole or not at all."""
    temporary = Path(f"{path}.tmp")
    temporary.write_bytes(encode_webp(image))
    os.replace(temporary, path)


def read_webp(path: str | Path, channels: int = 3) -> np.ndarray:
    """The grid that `save_webp` wrote to `path`."""
    return decode_webp(Path(path).read_bytes(), channels)
