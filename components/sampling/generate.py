"""Sample images from a generator. Image i is a function of weights, seed and condition alone.

Each image has its own noise, and images are sampled in chunks cut at fixed global positions, so a call for
images 40 to 70 returns the same bytes as the middle of a call for all images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.common.chunks import CHUNK
from components.common.errors import Diverged, InputError, RunError
from components.common.seeds import hash_of, seed_of
from components.data.dataset import Pixels, batch_of, to_uint8
from components.data.text.encoded import SplitCaptions
from models.data_spec import DataSpec
from models.family import Batch, Generator, Noise

Labels = str | int | Sequence[int] | np.ndarray


def generate(
    generator: Generator,
    card: DataSpec,
    *,
    n: int,
    seed: int,
    start: int = 0,  # images [start, start + n) of the endless stream of this seed
    batch: int = CHUNK,  # sampled at once; another value changes pixels by float rounding only
    labels: Labels | None = None,  # "data", one class, or the class of image i at [i]
    counts: Sequence[int] | None = None,  # images per class in the data, for labels="data"
    images: Pixels | None = None,  # uint8 (M, C, H, W): image i reconstructs images[i]
    sources: Pixels | None = None,  # uint8 (M, C', H', W'): image i translates or enlarges sources[i]
    text: SplitCaptions | None = None,  # image i has the caption text[i]
    masks: Pixels | None = None,  # uint8 (M, 1, H, W): image i is filled in where masks[i] is white
    method: str = "sample",  # of the generator; "conditioning_image" returns the images it samples from
    device: torch.device | str = "cpu",
) -> Iterator[np.ndarray]:
    """Yield uint8 images (b, C, H, W) in order, sampled in eval mode and float32, without gradients.

    The generator must be on `device` already.

    Raises:
        InputError: there are fewer conditions than images, or a label is not one of the classes.
        RunError: the generator returns NaN or images of the wrong shape.
    """
    _check_conditions(start + n, labels=labels, images=images, sources=sources, captions=text, masks=masks)
    _check_classes(labels, card.num_classes)
    for first in range(start - start % batch, start + n, batch):
        indices = np.arange(first, first + batch)  # the whole chunk, even if only a part of it is needed
        condition = _condition(indices, seed, labels, counts, images, sources, text, masks).to(device)
        noise = Noise([seed_of(seed, int(i)) for i in indices], device)
        chunk = _draw(getattr(generator, method), condition, noise, card, first, generator)
        yield chunk[max(start - first, 0) : start + n - first]


def draw(generator: Generator, card: DataSpec, **arguments: Any) -> np.ndarray:
    """Return all images of `generate` as one array (n, C, H, W)."""
    return np.concatenate(list(generate(generator, card, **arguments)))


def _draw(
    sample: Callable[[Batch, Noise], Tensor],
    condition: Batch,
    noise: Noise,
    card: DataSpec,
    first: int,
    generator: Generator,
) -> np.ndarray:
    # Not around the loop of `generate`, where the modes would also apply to the caller between two chunks.
    with eval_mode(generator), torch.no_grad(), torch.autocast(noise.device.type, enabled=False):
        images = sample(condition, noise)
    if tuple(images.shape) != (len(noise), *card.shape):
        raise RunError(
            f"the generator returned images of shape {tuple(images.shape[1:])}; the data set has {card.shape}"
        )
    if not torch.isfinite(images).all():
        bad = first + int((~torch.isfinite(images.flatten(1)).all(1)).nonzero()[0])
        raise Diverged(
            f"the generator returned NaN or infinite pixels, first in image {bad}; its training has diverged"
        )
    return to_uint8(images).cpu().numpy()


@contextmanager
def eval_mode(generator: nn.Module) -> Iterator[None]:
    """Set the generator to eval mode, and restore the mode of every module afterwards."""
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
                f"{needed} images were requested, but there are only {len(rows)} {name} to make them from"
            )


def _check_classes(labels: Labels | None, num_classes: int) -> None:
    if labels is None or isinstance(labels, str):
        return
    unknown = [int(label) for label in np.unique(labels) if not 0 <= label < num_classes]
    if unknown:
        available = f"classes 0 to {num_classes - 1}" if num_classes else "no classes"
        raise InputError(f"label {unknown[0]} was requested; the data set has {available}")


def _condition(
    indices: np.ndarray,
    seed: int,
    labels: Labels | None,
    counts: Sequence[int] | None,
    images: Pixels | None,
    sources: Pixels | None,
    text: SplitCaptions | None,
    masks: Pixels | None,
) -> Batch:
    """Return the conditions of the images at `indices`; past the end, the last one pads the chunk."""
    label = None if labels is None else classes(indices, seed, labels, counts)
    lengths = [len(rows) for rows in (images, sources, text, masks) if rows is not None]
    rows = np.minimum(indices, min(lengths) - 1) if lengths else indices
    return batch_of(rows, images=images, labels=label, sources=sources, text=text, masks=masks)


def classes(
    indices: np.ndarray,
    seed: int,
    labels: Labels,
    counts: Sequence[int] | None = None,
) -> np.ndarray:
    """Return the classes of the images at `indices`, (len(indices),) int64; arguments as in `generate`."""
    if isinstance(labels, str):
        assert labels == "data" and counts is not None, 'labels="data" needs the counts per class'
        return labels_for(indices, counts, seed)
    if isinstance(labels, int | np.integer):
        return np.full(len(indices), labels, dtype=np.int64)
    classes_of = np.asarray(labels, dtype=np.int64)
    return classes_of[np.minimum(indices, len(classes_of) - 1)]


def labels_for(indices: Sequence[int] | np.ndarray, counts: Sequence[int], seed: int) -> np.ndarray:
    """Return classes (len(indices),) int64, as frequent as in `counts`; class i depends on (seed, i)."""
    bounds = np.cumsum(np.asarray(counts, dtype=np.float64))
    assert len(bounds) and bounds[-1] > 0, "there are no labelled images"
    uniform = np.array([hash_of("label", seed, int(i)) for i in indices], dtype=np.float64) / 2.0**64
    classes = np.searchsorted(bounds / bounds[-1], uniform, side="right")
    last = np.flatnonzero(counts)[-1]  # a uniform number rounded up to 1.0 would be past it
    return np.minimum(classes, last).astype(np.int64)
