"""Errors between images and their targets: squared and absolute errors, PSNR and SSIM, also of luma."""

from __future__ import annotations

import numpy as np

from components.metrics.manifold import PERFECT

IMAGES = 64  # compared at once by SSIM
WINDOW, SIGMA = 11, 1.5  # of SSIM, in pixels, as in the paper
SMALLEST = 3  # pixels a side of an image that SSIM's window fits into
BLACK, LUMA = 16, (65.481, 128.553, 24.966)  # Y of black, and the weights of red, green and blue in [0, 1]


def psnr_values(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the peak signal-to-noise ratio of each image in dB, (N,): -10 log10(mse), at most 100."""
    return -10 * np.log10(np.maximum(squared_errors(a, b), PERFECT))


def ssim_values(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the structural similarity, (N,), of images (N, C, H, W) in [0, 255]. Wang et al. 2004, Eq. 13.

    The window is Gaussian, 11 pixels wide with sigma 1.5. Smaller images use the largest odd window that
    fits, with sigma in proportion. Values are means over channels and positions, with reflected edges.
    """
    import torch  # here, since the other functions need only numpy
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    window = min(WINDOW, (min(a.shape[2:]) - 1) // 2 * 2 + 1)
    sigma = SIGMA if window == WINDOW else (window // 2) / 3.5  # torchmetrics truncates at 3.5 sigma

    def scaled(images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(images.astype(np.float64) / 255)

    parts = [slice(i, i + IMAGES) for i in range(0, len(a), IMAGES)]
    values = [ssim(scaled(a[p]), scaled(b[p]), sigma=sigma, data_range=1.0, reduction="none") for p in parts]
    return np.concatenate([np.atleast_1d(np.asarray(value)) for value in values])


def _per_image(a: np.ndarray, b: np.ndarray, power: int) -> np.ndarray:
    """Return the mean of |a - b|^power over pixels in [0, 1], (N,), one image at a time in float64."""
    pairs = zip(a, b, strict=True)
    return np.array([np.mean(np.abs(p.astype(np.float64) - q) ** power) for p, q in pairs]) / 255**power


def squared_errors(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the mean squared error of each image, (N,), in [0, 1], of images (N, C, H, W) in [0, 255]."""
    return _per_image(a, b, 2)


def absolute_errors(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the mean absolute error of each image, (N,), in [0, 1], of uint8 images (N, C, H, W)."""
    return _per_image(a, b, 1)


def luma(images: np.ndarray) -> np.ndarray:
    """Return Y of uint8 RGB images (N, 3, H, W), float64 (N, 1, H, W) in [16, 235]. ITU-R BT.601, Sec. 3.5.

    Values are not rounded. Grey images (N, 1, H, W) are returned as they are, in [0, 255].
    """
    if images.shape[1] == 1:
        return images.astype(np.float64)
    return BLACK + np.tensordot(images / 255, LUMA, axes=(1, 0))[:, None]


def luma_values(a: np.ndarray, b: np.ndarray, border: int) -> dict[str, np.ndarray]:
    """Return `psnr_y` and `ssim_y` of uint8 images (N, C, H, W), (N,) each; empty if too little remains.

    As is usual for super-resolution: of luma alone, relative to a range of 255, without `border` pixels on
    each side, which an enlargement makes without all of their neighbours (Timofte et al. 2014, Sec. 4).
    """
    if min(a.shape[2:]) - 2 * border < SMALLEST:
        return {}
    inner = slice(border, -border or None)
    values = []
    for start in range(0, len(a), IMAGES):
        x, y = (luma(images[start : start + IMAGES, :, inner, inner]) for images in (a, b))
        values.append((psnr_values(x, y), ssim_values(x, y)))
    psnr, ssim = map(np.concatenate, zip(*values, strict=True))
    return {"psnr_y": psnr, "ssim_y": ssim}
