"""How close images are to their targets: squared and absolute errors, PSNR, SSIM."""

from __future__ import annotations

import numpy as np

from components.metrics.manifold import PERFECT

IMAGES = 64  # compared at once by structural similarity

WINDOW, SIGMA = 11, 1.5  # of structural similarity, in pixels, as in the paper


def psnr_values(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Peak signal to noise ratio of each image in dB, (N,): -10 log10(mse), at most 100 (equal images)."""
    return -10 * np.log10(np.maximum(squared_errors(a, b), PERFECT))


def ssim_values(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Structural similarity of each image, (N,), of uint8 images (N, C, H, W), Wang et al. 2004, Eq. 13.

    The window is Gaussian, 11 pixels wide with sigma 1.5; for smaller images the largest odd window that
    fits, with sigma in proportion. Averaged over channels and over all positions, edges reflected.
    """
    import torch  # here, because the rest is numpy's
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    window = min(WINDOW, (min(a.shape[2:]) - 1) // 2 * 2 + 1)
    sigma = SIGMA if window == WINDOW else (window // 2) / 3.5  # torchmetrics cuts its window at 3.5 sigma

    def scaled(images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(images.astype(np.float64) / 255)

    parts = [slice(i, i + IMAGES) for i in range(0, len(a), IMAGES)]
    values = [ssim(scaled(a[p]), scaled(b[p]), sigma=sigma, data_range=1.0, reduction="none") for p in parts]
    return np.concatenate([np.atleast_1d(np.asarray(value)) for value in values])


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
