"""The batches of a training. A batch is a pure function of (seed, step): no state to save."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import torch
from torch import Tensor

from components.data.dataset import Split
from models.family import Batch

# What tells the other random streams from that of the order of images.
FLIP_STREAM, SOURCE_STREAM, SOURCE_FLIP_STREAM, CAPTION_STREAM = 1, 2, 3, 4


class Batches:
    """Endless batches of a split. Every epoch is a new order of all images; a batch may span two epochs.

    Args:
        split: where the images are from.
        batch: images in a batch.
        seed: of the order and of the flips.
        flips: whether half of the images are mirrored.
        paired: whether source i belongs to image i; else the sources have epochs and an order of their own.
    """

    def __init__(self, split: Split, batch: int, seed: int, flips: bool = False, paired: bool = True):
        assert len(split), "a split is never empty"
        assert not (flips and split.latents is not None), "latents are of images as they are"
        assert not paired or split.sources is None or len(split.sources) == len(split), "one source an image"
        self.split, self.batch, self.seed, self.flips = split, batch, seed, flips
        self.paired = paired or split.sources is None
        self._order = functools.lru_cache(maxsize=4)(self._permutation)  # two epochs of images and of sources

    def at(self, step: int, shard: int = 0, shards: int = 1) -> Batch:
        """Shard `shard` of the batch of step `step`, on the CPU, images in [-1, 1]."""
        positions = self.positions(step, shard, shards)
        draws = None if self.split.all_captions is None else self._draws(positions, CAPTION_STREAM)
        batch = self.split.batch(self.index(positions), self.source_index(positions), draws)
        return self._flipped(batch, positions) if self.flips else batch

    def positions(self, step: int, shard: int = 0, shards: int = 1) -> np.ndarray:
        """Positions in the endless stream of images that the shard covers: step * batch + its rows."""
        assert self.batch % shards == 0 and 0 <= shard < shards, "a batch is cut into equal shards"
        size = self.batch // shards
        return step * self.batch + shard * size + np.arange(size)

    def index(self, positions: np.ndarray) -> np.ndarray:
        """The images at `positions` of the stream: position p is in epoch p // n."""
        return self._ordered(positions, len(self.split))

    def source_index(self, positions: np.ndarray) -> np.ndarray | None:
        """The sources at `positions` of their own stream; None where they are paired with the images."""
        if self.paired or self.split.sources is None:
            return None
        return self._ordered(positions, len(self.split.sources), SOURCE_STREAM)

    def captions(self, step: int, shard: int = 0, shards: int = 1) -> list[str] | None:
        """The captions of the same images: of several, each step has one at random."""
        if self.split.captions is None:
            return None
        positions = self.positions(step, shard, shards)
        index = self.index(positions)
        if self.split.all_captions is None:
            return [self.split.captions[i] for i in index]
        lists = [self.split.all_captions[i] for i in index]
        draws = self._draws(positions, CAPTION_STREAM)
        return [texts[int(draw * len(texts))] for texts, draw in zip(lists, draws, strict=True)]

    def _ordered(self, positions: np.ndarray, n: int, *stream: int) -> np.ndarray:
        epochs, places = np.divmod(positions, n)
        if epochs[0] == epochs[-1]:
            return self._order(n, int(epochs[0]), *stream)[places]
        index = np.empty(len(positions), np.int64)
        for epoch in np.unique(epochs):
            of_epoch = epochs == epoch
            index[of_epoch] = self._order(n, int(epoch), *stream)[places[of_epoch]]
        return index

    def _permutation(self, n: int, epoch: int, *stream: int) -> np.ndarray:
        return np.random.default_rng((self.seed, epoch, *stream)).permutation(n)

    def _flipped(self, batch: Batch, positions: np.ndarray) -> Batch:
        """The batch with half of the images mirrored; a pair as one, unpaired sources by themselves."""
        assert batch.image is not None
        flip = self._flip(positions)
        image, source = mirrored(batch.image, flip), batch.source
        if source is not None:
            source = mirrored(source, flip if self.paired else self._flip(positions, SOURCE_FLIP_STREAM))
        return dataclasses.replace(batch, image=image, source=source)

    def _flip(self, positions: np.ndarray, stream: int = FLIP_STREAM) -> Tensor:
        """Whether the image at each position is mirrored."""
        return torch.from_numpy(self._draws(positions, stream) < 0.5)

    def _draws(self, positions: np.ndarray, stream: int) -> np.ndarray:
        """Numbers in [0, 1), one a position; drawn in blocks, so that any position is cheap."""
        block = 1 << 12
        blocks, places = np.divmod(positions, block)
        draws = np.empty(len(positions))
        for b in np.unique(blocks):
            of_block = blocks == b
            draws[of_block] = np.random.default_rng((self.seed, int(b), stream)).random(block)[
                places[of_block]
            ]
        return draws


def mirrored(images: Tensor, which: Tensor) -> Tensor:
    """`images` (N, C, H, W) with those in `which` (N,) bool flipped left to right."""
    return torch.where(which[:, None, None, None], images.flip(-1), images)
