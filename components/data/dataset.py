"""The splits of a prepared data set, memory-mapped, and some of their rows as a batch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from components.common.arrays import open_array
from components.common.errors import InputError
from components.data.card import SPLITS
from components.data.text.encoded import SplitCaptions, open_text
from models.family import Batch

Rows = np.ndarray | Sequence[int]


class Pixels(Protocol):
    """uint8 images by row: an array, or the images of a split."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: Any, /) -> np.ndarray: ...


class ShardedArray:
    """Several arrays on disk read as one: [integer array] gives rows of uint8 (n, C, H, W)."""

    def __init__(self, arrays: Sequence[np.ndarray]):
        self.arrays = list(arrays)
        self.starts = np.cumsum([0, *map(len, self.arrays)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""
        return len(self), *self.arrays[0].shape[1:]

    def __getitem__(self, index: int | slice | Sequence[int] | np.ndarray) -> np.ndarray:
        if isinstance(index, slice):
            index = np.arange(*index.indices(len(self)))
        index = np.asarray(index)
        if index.ndim == 0:
            return self[index[None]][0]
        if index.size and not (-len(self) <= index.min() and index.max() < len(self)):
            raise IndexError(f"index outside the {len(self)} images")
        index = np.where(index < 0, index + len(self), index).astype(np.int64)
        if len(self.arrays) == 1:
            return self.arrays[0][index]
        return self._gather(index)

    def _gather(self, index: np.ndarray) -> np.ndarray:
        rows = np.empty((len(index), *self.arrays[0].shape[1:]), self.arrays[0].dtype)
        shard = np.searchsorted(self.starts, index, side="right") - 1
        for s in np.unique(shard):
            here = shard == s
            rows[here] = self.arrays[s][index[here] - self.starts[s]]
        return rows

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or np.uint8, copy=False)


class Subset(ShardedArray):
    """Some rows of images, in an order of their own; read when they are asked for, never all at once."""

    def __init__(self, images: ShardedArray | np.ndarray, rows: np.ndarray):
        self.images, self.rows = images, rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""
        return len(self), *self.images.shape[1:]

    def __getitem__(self, index: int | slice | Sequence[int] | np.ndarray) -> np.ndarray:
        return self.images[self.rows[index]]


@dataclass(frozen=True)
class Split:
    """One split of a data set, memory-mapped."""

    images: ShardedArray  # uint8 (N, C, H, W)
    labels: np.ndarray | None = None  # (N,) int64
    captions: list[str] | None = None  # the first of each image
    sources: ShardedArray | None = None  # uint8 (M, C', H', W'); of pairs, M = N
    latents: ShardedArray | None = (
        None  # float16 (N, 2, c, h, w): mean and log variance of an upstream encoder
    )
    text: SplitCaptions | None = None  # the captions, encoded
    all_captions: list[list[str]] | None = None  # of each image, if any has several

    def __len__(self) -> int:
        return len(self.images)

    @property
    def most_samples(self) -> int:
        """The largest number of samples that are each made from a row of their own."""
        return len(self) if self.sources is None else min(len(self), len(self.sources))

    def batch(
        self, rows: Rows, source_rows: Rows | None = None, caption_draws: np.ndarray | None = None
    ) -> Batch:
        """Returns the images `rows` as a batch on the CPU.

        Args:
            rows: (n,) which images.
            source_rows: (n,) which sources, where they are not paired with the images.
            caption_draws: (n,) in [0, 1), which of its captions each image has; None: the first.
        """
        return batch_of(
            rows,
            images=self.images,
            labels=None if self.labels is None else self.labels[rows],
            sources=self.sources,
            source_rows=source_rows,
            text=self.text,
            caption_draws=caption_draws,
            latents=self.latents,
        )

    def without(self, label: int) -> Split:
        """The images of all classes but one, with their labels and nothing else.

        Raises:
            InputError: no image is left.
        """
        assert self.labels is not None
        rows = np.flatnonzero(self.labels != label)
        if not len(rows):
            raise InputError(f"without class {label} no image is left")
        return Split(Subset(self.images, rows), self.labels[rows])


def open_split(folder: Path, split: str, encoded: Path | None = None, *, sources: bool = False) -> Split:
    """The split `split` (train, validation or test) of the prepared data set in `folder`.

    Args:
        folder: of the data set.
        split: its name.
        encoded: the folder of its encoded captions, where they are made use of.
        sources: whether its sources are made use of.
    """
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    folder = Path(folder) / split
    if not (folder / "images-00000.npy").is_file():
        raise InputError(f"{folder} holds no prepared images: prepare the data set first")
    labels, captions = folder / "labels.npy", folder / "captions.json"
    if sources and not (folder / "sources-00000.npy").is_file():
        raise InputError(f"{folder} holds no sources: prepare the data set first")
    texts: list[Any] | None = json.loads(captions.read_text("utf-8")) if captions.exists() else None
    several = texts if texts and isinstance(texts[0], list) else None
    return Split(
        images=open_sharded_array(folder, "images"),
        labels=np.array(open_array(labels)) if labels.exists() else None,
        captions=[each[0] for each in several] if several else texts,
        sources=open_sharded_array(folder, "sources") if sources else None,
        text=None if encoded is None else open_text(encoded, split),
        all_captions=several,
    )


def open_sharded_array(folder: Path, stem: str) -> ShardedArray:
    """The arrays `stem`-00000.npy, `stem`-00001.npy... as one, without reading them."""
    return ShardedArray([open_array(path) for path in sorted(folder.glob(f"{stem}-*.npy"))])


def batch_of(
    rows: Rows,
    *,
    images: Pixels | None = None,
    labels: np.ndarray | None = None,
    sources: Pixels | None = None,
    source_rows: Rows | None = None,
    text: SplitCaptions | None = None,
    caption_draws: np.ndarray | None = None,
    masks: Pixels | None = None,
    latents: ShardedArray | None = None,
) -> Batch:
    """Returns a batch on the CPU, images in [-1, 1].

    Args:
        rows: (n,) which of all that follows; labels are those of the rows already.
        images: uint8 (N, C, H, W).
        labels: (n,) int64.
        sources: uint8 (M, C', H', W').
        source_rows: (n,) which sources, where these are others.
        text: encoded captions.
        caption_draws: (n,) in [0, 1), which of its captions each image has; None: the first.
        masks: uint8 (N, 1, H, W), white where an image is to be filled in.
        latents: float16 (N, 2, c, h, w).
    """
    tokens, text_mask = (None, None) if text is None else text.drawn(rows, caption_draws).tensors()
    return Batch(
        n=len(rows),
        image=None if images is None else _pixels(images, rows),
        label=None if labels is None else torch.from_numpy(labels),
        source=None if sources is None else _pixels(sources, rows if source_rows is None else source_rows),
        text=tokens,
        text_mask=text_mask,
        mask=None if masks is None else (_pixels(masks, rows) > 0).float(),
        latent=None if latents is None else torch.from_numpy(latents[rows]).float(),
    )


def _pixels(images: Pixels, rows: Rows) -> Tensor:
    return to_float(np.ascontiguousarray(images[rows]))


def to_float(images: np.ndarray | Tensor) -> Tensor:
    """Uint8 images as float32 in [-1, 1]."""
    tensor = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
    assert tensor.dtype == torch.uint8, "a float image would be changed in place"
    return tensor.to(torch.float32).div_(127.5).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8: rounded, not truncated, so that it undoes `to_float` exactly."""
    return (images.detach().float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
