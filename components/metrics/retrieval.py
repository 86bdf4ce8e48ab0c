"""Retrieval accuracy of generated images: whether they match their captions.

It resembles R-precision (Xu et al. 2018, AttnGAN, https://arxiv.org/abs/1711.10485, Sec. 4) without a text
encoder. Each image generated for a held-out caption ranks all real held-out images by their distance in
feature space. It is correct if an image of its caption is among the nearest.

Shapes: N generated images, M real images, D features.
"""

from __future__ import annotations

import math

import numpy as np

from components.metrics.distances import Estimate
from components.metrics.intervals import share

TOP = 5  # nearest real images, one of which must have the caption


def ranks(
    fake: np.ndarray, fake_captions: np.ndarray, real: np.ndarray, real_captions: np.ndarray
) -> np.ndarray:
    """Return the number of real images of other captions that are as near as the nearest match, (N,).

    Args:
        fake: Features (N, D) of the generated images.
        fake_captions: Caption of each generated image, (N,).
        real: Features (M, D) of the real images.
        real_captions: Caption of each real image, (M,), including all of `fake_captions`.
    """
    counts = np.empty(len(fake), np.int64)
    y = np.asarray(real, np.float64)
    for i, x in enumerate(np.asarray(fake, np.float64)):
        distances, match = np.square(y - x).sum(1), real_captions == fake_captions[i]
        counts[i] = (distances[~match] <= distances[match].min()).sum()  # ties count as errors
    return counts


def retrieval(positions: np.ndarray, top: int = TOP) -> Estimate:
    """Return the share of images with a match among the `top` nearest, with Wilson's interval."""
    return share(int((positions < top).sum()), len(positions))


def chance(fake_captions: np.ndarray, real_captions: np.ndarray, top: int = TOP) -> float:
    """Return the expected accuracy of images that are independent of their captions.

    It is top / M if every real image has a different caption; in general 1 - C(M - m, top) / C(M, top) for a
    caption with m images, averaged over `fake_captions`.
    """
    total, top = len(real_captions), min(top, len(real_captions))
    captions, counts = np.unique(real_captions, return_counts=True)
    images = dict(zip(captions.tolist(), counts.tolist(), strict=True))
    missed = [
        math.comb(total - images[caption], top) / math.comb(total, top) for caption in fake_captions.tolist()
    ]
    return 1 - float(np.mean(missed))
