"""Whether images show what their captions say: each is looked for among real images of other captions.

In the spirit of R-precision (Xu et al. 2018, AttnGAN, https://arxiv.org/abs/1711.10485, Sec. 4), but without
a network that knows text: an image that was drawn for a held-out caption ranks all real held-out images by
their distance in feature space, and is right if one of that caption is among the nearest.

Shapes: N drawn images, M real images, D features.
"""

from __future__ import annotations

import math

import numpy as np

from components.metrics.distances import Estimate
from components.metrics.intervals import share

TOP = 5  # real images among which the right one must be


def ranks(fake: np.ndarray, asked: np.ndarray, real: np.ndarray, names: np.ndarray) -> np.ndarray:
    """How many real images of other captions are as near as the nearest one of its own caption, (N,).

    Args:
        fake: features (N, D) of the drawn images.
        asked: (N,) the caption of each.
        real: features (M, D) of the real images.
        names: (M,) the caption of each; every caption asked for is among them.
    """
    found = np.empty(len(fake), np.int64)
    y = np.asarray(real, np.float64)
    for i, x in enumerate(np.asarray(fake, np.float64)):
        distances, own = np.square(y - x).sum(1), names == asked[i]
        found[i] = (distances[~own] <= distances[own].min()).sum()  # a tie is no success
    return found


def retrieval(found: np.ndarray, top: int = TOP) -> Estimate:
    """The share of images whose own caption is among the `top` nearest, with Wilson's interval."""
    return share(int((found < top).sum()), len(found))


def chance(asked: np.ndarray, names: np.ndarray, top: int = TOP) -> float:
    """What images score that have nothing to do with their captions.

    top / M if every image has a caption of its own; in general 1 - C(M - m, top) / C(M, top) for a caption of
    m images, averaged over those asked for.
    """
    total, top = len(names), min(top, len(names))
    every, counts = np.unique(names, return_counts=True)
    own = dict(zip(every.tolist(), counts.tolist(), strict=True))
    missed = [math.comb(total - own[name], top) / math.comb(total, top) for name in asked.tolist()]
    return 1 - float(np.mean(missed))
