"""How far two sets of images are apart, image by image: what judging and training share."""

from __future__ import annotations

import numpy as np


def _per_image(a: np.ndarray, b: np.ndarray, power: int) -> np.ndarray:
    """Mean over pixels of |a - b|^power on the scale [0, 1], (N,), one image at a time in float64."""
    pairs = zip(a, b, strict=True)
    return np.array([np.mean(np.abs(p.astype(np.float64) - q) ** power) for p, q in pairs]) / 255**power


def squared_errors(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean square error of each image, (N,), on the scale [0, 1], of uint8 images (N, C, H, W)."""
    return _per_image(a, b, 2)


def absolute_errors(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean absolute error of each image, (N,), on the scale [0, 1], of uint8 images (N, C, H, W)."""
    return _per_image(a, b, 1)
