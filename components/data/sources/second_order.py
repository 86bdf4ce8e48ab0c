"""Real-ESRGAN's degradation: blur, resizing, noise and JPEG, twice, with ringing at the end.

Wang et al. 2021, Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data,
https://arxiv.org/abs/2107.10833, Sec. 3; probabilities and ranges of the authors' x4plus options. They
degrade while they train, with a differentiable JPEG; here each image is degraded once, with JPEG itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from components.data.sources.degradations import Degradation, check_scale, compressed, quantized

Range = tuple[float, float]
KERNEL_SIDES = range(7, 22, 2)
KERNELS = {  # shape of the blur: probability; each isotropic and anisotropic
    ("gaussian", True): 0.45,
    ("gaussian", False): 0.25,
    ("generalized", True): 0.12,
    ("generalized", False): 0.03,
    ("plateau", True): 0.12,
    ("plateau", False): 0.03,
}
SINC, FINAL_SINC = 0.1, 0.8  # probabilities
BETA: dict[str, Range] = {"generalized": (0.5, 4.0), "plateau": (1.0, 2.0)}
GAUSSIAN_NOISE, GREY_NOISE = 0.5, 0.4  # probabilities; else Poisson noise, and noise of each channel
JPEG_QUALITY = (30, 95)
MODES = ("area", "bilinear", "bicubic")


@dataclass(frozen=True)
class Order:
    """Probabilities and ranges of the first or second order."""

    blur: float  # probability
    sigma: Range  # standard deviation of the blur, in pixels
    resize: tuple[float, float, float]  # probabilities of up, down and neither
    factor: Range  # of the size
    noise: Range  # standard deviation, in levels of 255
    poisson: Range  # factor of the Poisson noise


FIRST = Order(1.0, (0.2, 3.0), (0.2, 0.7, 0.1), (0.15, 1.5), (1, 30), (0.05, 3.0))
SECOND = Order(0.8, (0.2, 1.5), (0.3, 0.4, 0.3), (0.3, 1.2), (1, 25), (0.05, 2.5))


class RealEsrgan(Degradation):
    """The second-order degradation of Real-ESRGAN."""

    kind = "real-esrgan"
    scale: int = 4

    def check(self, channels: int, resolution: int) -> None:
        """Raise InputError for a scale that no family enlarges by, or that does not divide the resolution."""
        check_scale(self.scale, resolution)

    def apply(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Return the small image (C, H / scale, W / scale)."""
        side = image.shape[-1]
        small = side // self.scale
        x = degraded_once(image / 255, FIRST, side, random)
        x = jpeg(x, random)
        x = degraded_once(x, SECOND, small, random)
        ringing = sinc_kernel(random) if random.random() < FINAL_SINC else np.ones((1, 1))
        if random.random() < 0.5:
            x = jpeg(filtered(resized(x, small, random), ringing), random)
        else:
            x = filtered(resized(jpeg(x, random), small, random), ringing)
        return quantized(255 * x)


def degraded_once(x: np.ndarray, order: Order, side: int, random: np.random.Generator) -> np.ndarray:
    """Return levels (C, H, W) in 0..1 after blur, resizing about `side` pixels, and noise."""
    if random.random() < order.blur:
        x = filtered(x, blur_kernel(order.sigma, random))
    ranges = ((1.0, order.factor[1]), (order.factor[0], 1.0), (1.0, 1.0))  # up, down, neither
    factor = random.uniform(*ranges[random.choice(3, p=order.resize)])
    return noisy(resized(x, max(1, int(side * factor)), random), order, random)


def blur_kernel(sigmas: Range, random: np.random.Generator) -> np.ndarray:
    """Return a kernel (k, k): sinc, or Gaussian, generalized Gaussian or plateau, Eq. 2 and Sec. 3.1."""
    if random.random() < SINC:
        return sinc_kernel(random)
    shape, isotropic = list(KERNELS)[random.choice(len(KERNELS), p=list(KERNELS.values()))]
    sigma_x = random.uniform(*sigmas)
    sigma_y = sigma_x if isotropic else random.uniform(*sigmas)
    angle = 0.0 if isotropic else random.uniform(-np.pi, np.pi)
    beta = 1.0
    if shape != "gaussian":
        low, high = BETA[shape]
        beta = random.uniform(low, 1) if random.random() < 0.5 else random.uniform(1, high)
    return kernel(shape, int(random.choice(KERNEL_SIDES)), sigma_x, sigma_y, angle, beta)


def kernel(shape: str, side: int, sigma_x: float, sigma_y: float, angle: float, beta: float) -> np.ndarray:
    """Return exp(-d^beta / 2), or 1 / (1 + d^beta) for a plateau, with d = x' Sigma^-1 x; the sum is 1."""
    y, x = offsets(side)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    distance = ((along / sigma_x) ** 2 + (across / sigma_y) ** 2) ** beta
    weights = 1 / (1 + distance) if shape == "plateau" else np.exp(-distance / 2)
    return weights / weights.sum()


def sinc_kernel(random: np.random.Generator) -> np.ndarray:
    """Return a circular low-pass filter (k, k), which rings: omega J1(omega r) / (2 pi r), Eq. 6."""
    side = int(random.choice(KERNEL_SIDES))
    omega = random.uniform(np.pi / 3 if side < 13 else np.pi / 5, np.pi)
    y, x = offsets(side)
    radius = np.hypot(x, y)
    radius[side // 2, side // 2] = 1
    weights = omega * scipy.special.j1(omega * radius) / (2 * np.pi * radius)
    weights[side // 2, side // 2] = omega**2 / (4 * np.pi)  # the limit at r = 0
    return weights / weights.sum()


def offsets(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances (side, side) of pixels from the centre of a kernel, down and to the right."""
    axis = np.arange(side) - side // 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return y.astype(float), x.astype(float)


def filtered(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return levels (C, H, W) correlated with a kernel, mirrored at the border."""
    return scipy.ndimage.correlate(x, weights[None], mode="mirror")


def resized(x: np.ndarray, side: int, random: np.random.Generator) -> np.ndarray:
    """Return levels (C, side, side) by area, bilinear or bicubic interpolation, without antialiasing."""
    import torch
    from torch.nn.functional import interpolate

    mode = MODES[random.integers(len(MODES))]
    aligned = {} if mode == "area" else {"align_corners": False}
    return interpolate(torch.from_numpy(x)[None], (side, side), mode=mode, **aligned)[0].numpy()


def noisy(x: np.ndarray, order: Order, random: np.random.Generator) -> np.ndarray:
    """Return levels with Gaussian or Poisson noise, of each channel or one for all, clipped to 0..1."""
    gaussian, grey = random.random() < GAUSSIAN_NOISE, random.random() < GREY_NOISE
    x = np.clip(x, 0, 1)
    if gaussian:
        shape = x[:1].shape if grey else x.shape
        noise = random.uniform(*order.noise) / 255 * random.standard_normal(shape)
    else:
        noise = random.uniform(*order.poisson) * poisson_noise(luma(x) if grey else x, random)
    return np.clip(x + noise, 0, 1)


def poisson_noise(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the noise of counting photons: at most as many as the image has levels, up to a power of two."""
    x = np.rint(255 * x) / 255
    photons = 2 ** np.ceil(np.log2(len(np.unique(x))))
    return random.poisson(x * photons) / photons - x


def luma(x: np.ndarray) -> np.ndarray:
    """Return the luma (1, H, W) of levels, grey or RGB."""
    return x if len(x) == 1 else np.tensordot([0.299, 0.587, 0.114], x, 1)[None]


def jpeg(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return levels in 0..1 after JPEG of a random quality."""
    return compressed(quantized(255 * x), round(random.uniform(*JPEG_QUALITY))) / 255
