"""The interface of feature extractors, which map images to the feature vectors of evaluation.

There are five kinds. `classifier` is a small network trained on the labels of the data set, as is usual for
digits. `rotation` is the same network for data without labels, trained to predict rotations (Gidaris et al.
2018, Unsupervised Representation Learning by Predicting Image Rotations, https://arxiv.org/abs/1803.07728).
`inception` is the network of 2015-12-05 that defines FID; only its distance is called FID. `efficientnet` is
EfficientNet-Lite0 trained on ImageNet (Tan & Le 2019, https://arxiv.org/abs/1905.11946). `custom:<name>` is
the user's network.

components/extractors/make.py creates the folder of an extractor, load.py loads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from components.common.chunks import CHUNK
from components.extractors.preprocess import check_images
from components.records.extractor import ExtractorConfig, ExtractorIdentity

PIECE = 16  # images at once in large networks, faster and with less memory than CHUNK, which it divides


@dataclass(frozen=True)
class Extractor:
    """A network from images to features, its preparation of images, and a hash that identifies both."""

    name: str  # classifier | rotation | inception | efficientnet | custom:<name>
    hash: str  # sha256 of the weights and the preparation of images
    dim: int
    resize: int | None  # side in pixels of prepared images; None: depends on the image
    range: str  # of prepared pixels
    channels: int | None  # of accepted images; None: grey or RGB
    resolution: int | None  # of accepted images; None: any
    network: nn.Module  # prepared images -> features (n, dim)
    prepare: Callable[[Tensor], Tensor]  # uint8 (n, C, H, W) -> prepared images
    chunk: int = CHUNK  # images in the network at once; divides CHUNK
    classes: Literal["own", "imagenet"] | None = None  # the classes of its logits
    config: ExtractorConfig | None = None

    @property
    def frechet_name(self) -> str:
        """The name of the Frechet distance on these features."""
        return "fid" if self.name == "inception" else "frechet_distance"

    @property
    def identity(self) -> ExtractorIdentity:
        """The extractor's entry in the recipe of a metric."""
        return ExtractorIdentity(
            name=self.name,
            hash=self.hash,
            dim=self.dim,
            resize=self.resize,
            range=self.range,
            preparation=self.config.preparation if self.config else None,
        )

    def __call__(self, images: np.ndarray | Tensor) -> np.ndarray:
        """Return features (N, dim) float32 of uint8 images (N, C, H, W).

        Image i is at position i % chunk of a full chunk, so that a set split at multiples of CHUNK gives the
        same bits as the whole set. Other splits change features by rounding only.

        Raises:
            InputError: There are no images, or they are not uint8, or the extractor does not accept them.
        """
        array = check_images(images, self.channels, self.resolution)
        return self._in_chunks(array, lambda x: self.network(self.prepare(x)))

    def stream(self, parts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield features of images in parts of any length, with the same bits as for all images at once."""
        buffer: np.ndarray | None = None
        for part in parts:
            buffer = part if buffer is None else np.concatenate([buffer, part])
            if end := len(buffer) // CHUNK * CHUNK:
                yield self(buffer[:end])
                buffer = buffer[end:]
        if buffer is not None and len(buffer):
            yield self(buffer)

    def logits(self, images: np.ndarray | Tensor) -> np.ndarray:
        """Return class logits (N, K) float32 of images; see `logits_of`."""
        return self.logits_of(self(images))

    def logits_of(self, features: np.ndarray) -> np.ndarray:
        """Return class logits (N, K) float32 of features from this extractor.

        Inception's are without the bias of the last layer, as in the original Inception Score.
        """
        assert self.classes is not None, f"{self.name} has no classes"
        return self._in_chunks(features, self.network.logits)  # type: ignore[arg-type]

    def _in_chunks(self, rows: np.ndarray, function: Callable[[Tensor], Tensor]) -> np.ndarray:
        device = next(self.network.parameters(), torch.empty(0)).device
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            parts = (function(x.to(device))[:n].float().cpu().numpy() for x, n in chunks(rows, self.chunk))
            return np.concatenate(list(parts))


def chunks(rows: np.ndarray, size: int = CHUNK) -> Iterator[tuple[Tensor, int]]:
    """Yield chunks (size, ...) of (N, ...) and their numbers of rows without padding; zeros pad the last.

    All chunks have the same shape, since the arithmetic may depend on it.
    """
    for start in range(0, len(rows), size):
        chunk = np.ascontiguousarray(rows[start : start + size])
        padded = np.pad(chunk, [(0, size - len(chunk))] + [(0, 0)] * (chunk.ndim - 1))
        yield torch.from_numpy(padded), len(chunk)
