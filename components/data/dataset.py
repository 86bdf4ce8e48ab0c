"""From a prepared data set to batches. A batch is a pure function of (seed, step): no state to save."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from components.common.errors import InputError
from components.data.card import SPLITS
from components.data.text.encoded import Text, open_text
from models.family import Batch

FLIP_STREAM = 1  # tells the random stream of flips from that of the order


class Shards:
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


class Chosen(Shards):
    """Some rows of images, in an order of their own; read when they are asked for, never all at once."""

    def __init__(self, images: Shards | np.ndarray, rows: np.ndarray):
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

    images: Shards  # uint8 (N, C, H, W)
    labels: np.ndarray | None = None  # (N,) int64
    captions: list[str] | None = None
    sources: Shards | None = None  # uint8 (N, C', H', W'), for pairs
    latents: Shards | None = None  # float16 (N, 2, c, h, w): mean and log variance of an upstream encoder
    text: Text | None = None  # the captions, encoded

    def __len__(self) -> int:
        return len(self.images)

    def without(self, label: int) -> Split:
        """The images of all classes but one, with their labels and nothing else.

        Raises:
            InputError: no image is left.
        """
        assert self.labels is not None
        rows = np.flatnonzero(self.labels != label)
        if not len(rows):
            raise InputError(f"without class {label} no image is left")
        return Split(Chosen(self.images, rows), self.labels[rows])


def open_split(folder: Path, split: str, encoded: Path | None = None) -> Split:
    """The split `split` (train, validation or test) of the prepared data set in `folder`.

    Args:
        folder: of the data set.
        split: its name.
        encoded: the folder of its encoded captions, where they are made use of.
    """
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    folder = Path(folder) / split
    if not (folder / "images-00000.npy").is_file():
        raise InputError(f"{folder} holds no prepared images: prepare the data set first")
    labels, captions = folder / "labels.npy", folder / "captions.json"
    return Split(
        images=open_shards(folder, "images"),
        labels=np.load(labels) if labels.exists() else None,
        captions=json.loads(captions.read_text("utf-8")) if captions.exists() else None,
        sources=open_shards(folder, "sources") if (folder / "sources-00000.npy").exists() else None,
        text=None if encoded is None else open_text(encoded, split),
    )


def open_shards(folder: Path, stem: str) -> Shards:
    """The arrays `stem`-00000.npy, `stem`-00001.npy... as one, without reading them."""
    return Shards([np.load(path, mmap_mode="r") for path in sorted(folder.glob(f"{stem}-*.npy"))])


class Batches:
    """Endless batches of a split. Every epoch is a new order of all images; a batch may span two epochs."""

    def __init__(self, split: Split, batch: int, seed: int, flips: bool = False):
        assert len(split), "a split is never empty"
        assert not (flips and split.latents is not None), "latents are of images as they are"
        self.split, self.batch, self.seed, self.flips = split, batch, seed, flips
        self._order = functools.lru_cache(maxsize=2)(self._permutation)  # a batch seldom spans more epochs

    def at(self, step: int, shard: int = 0, shards: int = 1) -> Batch:
        """Shard `shard` of the batch of step `step`, on the CPU, images in [-1, 1]."""
        positions = self.positions(step, shard, shards)
        index = self.index(positions)
        image = to_float(self.split.images[index])
        source = None if self.split.sources is None else to_float(self.split.sources[index])
        if self.flips:
            flip = self._flip(positions)
            image = mirrored(image, flip)
            source = None if source is None else mirrored(source, flip)
        label = None if self.split.labels is None else torch.from_numpy(self.split.labels[index])
        text, mask = (None, None) if self.split.text is None else self.split.text[index].tensors()
        latent = latents_of(self.split, index)
        return Batch(len(index), image, label, source, text, text_mask=mask, latent=latent)

    def positions(self, step: int, shard: int = 0, shards: int = 1) -> np.ndarray:
        """Positions in the endless stream of images that the shard covers: step * batch + its rows."""
        assert self.batch % shards == 0 and 0 <= shard < shards, "a batch is cut into equal shards"
        size = self.batch // shards
        return step * self.batch + shard * size + np.arange(size)

    def index(self, positions: np.ndarray) -> np.ndarray:
        """The images at `positions` of the stream: position p is in epoch p // n."""
        n = len(self.split)
        epochs, places = np.divmod(positions, n)
        if epochs[0] == epochs[-1]:
            return self._order(int(epochs[0]))[places]
        index = np.empty(len(positions), np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            index[here] = self._order(int(epoch))[places[here]]
        return index

    def captions(self, step: int, shard: int = 0, shards: int = 1) -> list[str] | None:
        """The captions of the same images."""
        if self.split.captions is None:
            return None
        return [self.split.captions[i] for i in self.index(self.positions(step, shard, shards))]

    def _permutation(self, epoch: int) -> np.ndarray:
        return np.random.default_rng((self.seed, epoch)).permutation(len(self.split))

    def _flip(self, positions: np.ndarray) -> Tensor:
        """Whether the image at each position is mirrored; drawn in blocks, so that any position is cheap."""
        block = 1 << 12
        blocks, places = np.divmod(positions, block)
        flips = np.empty(len(positions), bool)
        for b in np.unique(blocks):
            draws = np.random.default_rng((self.seed, int(b), FLIP_STREAM)).random(block) < 0.5
            here = blocks == b
            flips[here] = draws[places[here]]
        return torch.from_numpy(flips)


def latents_of(split: Split, rows: np.ndarray | Sequence[int]) -> Tensor | None:
    """The kept encodings of some images, float32 (n, 2, c, h, w); None where none are kept."""
    return None if split.latents is None else torch.from_numpy(split.latents[rows]).float()


def mirrored(images: Tensor, which: Tensor) -> Tensor:
    """`images` (N, C, H, W) with those in `which` (N,) bool flipped left to right."""
    return torch.where(which[:, None, None, None], images.flip(-1), images)


def to_float(images: np.ndarray | Tensor) -> Tensor:
    """Uint8 images as float32 in [-1, 1]."""
    tensor = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
    assert tensor.dtype == torch.uint8, "a float image would be changed in place"
    return tensor.to(torch.float32).div_(127.5).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8: rounded, not truncated, so that it undoes `to_float` exactly."""
    return (images.detach().float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
