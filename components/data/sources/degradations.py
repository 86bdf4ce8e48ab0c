"""Degradations make the source of an image from the image: its edges, or a smaller or a damaged copy.

All but noise compute with integers, so that every machine gives the same bytes.
"""

from __future__ import annotations

import io
from typing import ClassVar

import numpy as np
import scipy
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from components.common.errors import InputError
from components.common.hashing import sha256

SCALES = (2, 4)
TAN_22_5 = 13573 / 32768  # the slope at which a direction is rounded to the axes or the diagonals


class Degradation(BaseModel):
    """A degradation and its settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str]

    def apply(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Return the source, uint8 (C', H', W'), of an image, uint8 (C, H, W)."""
        raise NotImplementedError

    def __call__(self, image: np.ndarray, seed: int = 0) -> np.ndarray:
        """Return the source of an image; what is random depends on the image and the seed alone."""
        contents = int(sha256(np.ascontiguousarray(image).tobytes())[:16], 16)
        return self.apply(image, np.random.default_rng((seed, contents)))

    def check(self, channels: int, resolution: int) -> None:
        """Raise InputError if images of this shape cannot be degraded."""


class Edges(Degradation):
    """Black edges on white, one channel.

    Canny 1986, A Computational Approach to Edge Detection: a binomial filter of 5 x 5 pixels, Sobel gradients
    of the channel in which they are largest, non-maximum suppression, and two thresholds of the gradient
    (a step of h levels has 4 h before it is smoothed).
    """

    kind = "edges"
    low: int = Field(30, ge=1)  # edges connected to one above `high` continue down to here
    high: int = Field(80, ge=1)

    def apply(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Return the edges (1, H, W)."""
        x, y = strongest_gradient(image)
        power = x * x + y * y
        ridge = is_ridge(power, x, y)
        regions, _ = scipy.ndimage.label(ridge & (power >= (256 * self.low) ** 2), np.ones((3, 3)))
        strong = np.unique(regions[ridge & (power >= (256 * max(self.low, self.high)) ** 2)])
        return np.where(np.isin(regions, strong[strong > 0]), 0, 255).astype(np.uint8)[None]


def strongest_gradient(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the Sobel gradients (H, W) along x and y, int64, times 256, of the smoothed image."""
    smooth = image.astype(np.int64)
    for axis in (1, 2):
        smooth = scipy.ndimage.correlate1d(smooth, [1, 4, 6, 4, 1], axis, mode="nearest")
    x = scipy.ndimage.correlate1d(
        scipy.ndimage.correlate1d(smooth, [-1, 0, 1], 2, mode="nearest"), [1, 2, 1], 1, mode="nearest"
    )
    y = scipy.ndimage.correlate1d(
        scipy.ndimage.correlate1d(smooth, [-1, 0, 1], 1, mode="nearest"), [1, 2, 1], 2, mode="nearest"
    )
    strongest = (x * x + y * y).argmax(axis=0)[None]
    return np.take_along_axis(x, strongest, 0)[0], np.take_along_axis(y, strongest, 0)[0]


def is_ridge(power: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return where `power` (H, W) is largest along the gradient, of the pixel and its two neighbours."""
    padded = np.pad(power, 1)
    height, width = power.shape

    def at(down: int, right: int) -> np.ndarray:
        return padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]

    def between(down: int, right: int) -> np.ndarray:
        return (power > at(-down, -right)) & (power >= at(down, right))

    flat, steep = abs(y) < TAN_22_5 * abs(x), abs(x) < TAN_22_5 * abs(y)
    diagonal = np.where(x * y > 0, between(1, 1), between(1, -1))
    return np.where(flat, between(0, 1), np.where(steep, between(1, 0), diagonal))


class Grey(Degradation):
    """The luma of ITU-R BT.601, one channel: what a colouring family starts from."""

    kind = "grey"

    def apply(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Return the luma (1, H, W)."""
        return as_array(as_image(image).convert("L"))

    def check(self, channels: int, resolution: int) -> None:
        """Raise InputError if the images are grey."""
        if channels == 1:
            raise InputError("the images are grey already: choose a data set in colour")


class Downscale(Degradation):
    """Antialiased bicubic reduction: Keys 1981, a = -1/2, widened by the scale, as MATLAB's imresize."""

    kind = "downscale"
    scale: int = 4

    def apply(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Return the small image (C, H / scale, W / scale)."""
        whole = as_image(image)
        size = whole.width // self.scale, whole.height // self.scale
        return as_array(whole.resize(size, Image.Resampling.BICUBIC))

    def check(self, channels: int, resolution: int) -> None:
        """Raise InputError for a scale that no family enlarges by, or that does not divide the resolution."""
        check_scale(self.scale, resolution)


def check_scale(scale: int, resolution: int) -> None:
    """Raise InputError unless `scale` is 2 or 4 and divides the resolution."""
    if scale not in SCALES:
        raise InputError(f"scale {scale} is not supported: choose {' or '.join(map(str, SCALES))}")
    if resolution % scale:
        raise InputError(f"scale {scale} does not divide the resolution of the images, {resolution} pixels")


class Noise(Degradation):
    """Independent Gaussian noise."""

    kind = "noise"
    sigma: float = Field(25.0, gt=0, le=255)  # standard deviation, in levels of 255

    def apply(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Return the noisy image, of the same shape."""
        return quantized(image + self.sigma * random.standard_normal(image.shape))


class Jpeg(Degradation):
    """Compression and decompression by JPEG, with colours at half the resolution."""

    kind = "jpeg"
    quality: int = Field(20, ge=1, le=95)

    def apply(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Return the image after compression, of the same shape."""
        return compressed(image, self.quality)


def compressed(image: np.ndarray, quality: int) -> np.ndarray:
    """Return a uint8 image (C, H, W) after compression by JPEG."""
    file = io.BytesIO()
    as_image(image).save(file, "JPEG", quality=quality)
    with Image.open(file) as decoded:
        return as_array(decoded)


def quantized(values: np.ndarray) -> np.ndarray:
    """Return levels as uint8: rounded, and clipped to 0..255."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def as_image(image: np.ndarray) -> Image.Image:
    """Return a uint8 image (C, H, W), grey or RGB, as Pillow's."""
    return Image.fromarray(np.ascontiguousarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)))


def as_array(image: Image.Image) -> np.ndarray:
    """Return Pillow's image, grey or RGB, as uint8 (C, H, W)."""
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
