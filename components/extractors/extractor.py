"""Images -> feature vectors: what judges the images, behind one interface, and named for what it is.

Five kinds of extractor. `classifier` is a small network trained on the data set's own labels, the custom for
digits. `rotation` is the same network where there are no labels, trained to tell by how much an image was
turned (Gidaris et al. 2018, Unsupervised Representation Learning by Predicting Image Rotations,
https://arxiv.org/abs/1803.07728). `inception` is the network of 2015-12-05 that FID was defined with, and
the only one whose distance is called FID. `efficientnet` is EfficientNet-Lite0 trained on ImageNet (Tan & Le
2019, https://arxiv.org/abs/1905.11946). `custom:<name>` is the user's own network.

This module runs an extractor that lies in a folder; components/extractors/make.py puts one there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from components.common.chunks import CHUNK
from components.extractors.preprocess import check_images

PIECE = 16  # images at once in the large networks: less memory than a chunk takes, and faster; divides CHUNK


@dataclass(frozen=True)
class Extractor:
    """Images in, features out: a network, its name, and the hash that says when two of them are the same."""

    name: str  # classifier | rotation | inception | efficientnet | custom:<name>
    hash: str  # sha256 of the weights and of how images are prepared
    dim: int
    resize: int | None  # edge in pixels at which the network sees an image; None: it depends on the image's
    range: str  # of the pixels it sees
    channels: int | None  # of the images it accepts; None: grey or RGB
    resolution: int | None  # None: any
    network: nn.Module  # prepared images -> features (n, dim)
    prepare: Callable[[Tensor], Tensor]  # uint8 (n, C, H, W) -> what the network sees
    chunk: int = CHUNK  # images in the network at once; divides CHUNK
    classes: Literal["own", "imagenet"] | None = None  # what its class scores are of
    info: dict[str, Any] = dataclasses.field(default_factory=dict)  # how it was made and how good it is

    @property
    def frechet_name(self) -> str:
        """What the Frechet distance on these features may be called."""
        return "fid" if self.name == "inception" else "frechet_distance"

    @property
    def described(self) -> dict[str, Any]:
        """What the recipe of a number says of its extractor, in words; the hash tells two of them apart."""
        told = {key: getattr(self, key) for key in ("name", "hash", "dim", "resize", "range")}
        return told | {"preparation": self.info.get("preparation")}

    def __call__(self, images: np.ndarray | Tensor) -> np.ndarray:
        """Features (N, dim) float32 of uint8 images (N, C, H, W).

        Image i is always in place i % chunk of a full chunk, so that a set cut at multiples of CHUNK gives
        the same bits as the whole. Any other cut changes features by rounding only.

        Raises:
            InputError: There are no images, or they are not uint8, or not those the extractor was made for.
        """
        checked = check_images(images, self.channels, self.resolution)
        return self._in_chunks(checked, lambda x: self.network(self.prepare(x)))

    def stream(self, parts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Features of images that come in parts of any length, with the bits of all of them at once."""
        held: list[np.ndarray] = []
        for part in parts:
            held = [np.concatenate([*held, part])]
            whole = len(held[0]) // CHUNK * CHUNK
            if whole:
                yield self(held[0][:whole])
                held = [held[0][whole:]]
        if held and len(held[0]):
            yield self(held[0])

    def logits(self, images: np.ndarray | Tensor) -> np.ndarray:
        """Class scores (N, K) float32 of images; see `logits_of`."""
        return self.logits_of(self(images))

    def logits_of(self, features: np.ndarray) -> np.ndarray:
        """Class scores (N, K) float32 of features that this extractor gave.

        Of Inception without the bias of the last layer, as the Inception Score was first computed.
        """
        assert self.classes is not None, f"{self.name} knows no classes"
        return self._in_chunks(features, self.network.logits)  # type: ignore[arg-type]

    def _in_chunks(self, rows: np.ndarray, function: Callable[[Tensor], Tensor]) -> np.ndarray:
        device = next(self.network.parameters(), torch.empty(0)).device
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            parts = (function(x.to(device))[:n].float().cpu().numpy() for x, n in chunks(rows, self.chunk))
            return np.concatenate(list(parts))


def chunks(rows: np.ndarray, size: int = CHUNK) -> Iterator[tuple[Tensor, int]]:
    """Cut (N, ...) into chunks (size, ...), the last padded with zeros; with how many rows are no padding.

    All chunks have one shape because another shape may take another path through the arithmetic.
    """
    for start in range(0, len(rows), size):
        chunk = np.ascontiguousarray(rows[start : start + size])
        padded = np.pad(chunk, [(0, size - len(chunk))] + [(0, 0)] * (chunk.ndim - 1))
        yield torch.from_numpy(padded), len(chunk)
