"""Read an image file of any supported format as (3, R, R) uint8, or raise BadImage with the reason."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageColor, ImageOps

from components.common.errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # no format whose decoder runs other programs
PNM = (".ppm", ".pgm", ".pbm", ".pnm")
EXTENSIONS = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff", *PNM}
ARRAYS = {".npy", ".npz", ".exr", ".hdr", ".dng", ".raw", ".cr2", ".nef"}
UNSUPPORTED = {".heic", ".heif", ".avif", ".svg", ".psd", ".jxl", ".jp2", ".eps", ".pdf", *ARRAYS}
FILE_BYTES = 256_000_000
DECODED_BYTES = 256_000_000  # of one array; there are a few at a time
SIXTEEN_BIT = 65535
Part = Literal["whole", "left", "right"]  # of a file; the halves of two images side by side


class BadImage(Exception):
    """A file cannot be used. The message is the reason, equal for all files with the same problem."""


@dataclass(frozen=True)
class Rendering:
    """The size, colour and background that images are converted to, and the part of a file that is one."""

    resolution: int
    colour: str = "auto"  # auto | grey | rgb
    background: str = "white"
    part: Part = "whole"

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The background as RGB, 0 to 255."""
        return colour_of(self.background)


def colour_of(name: str) -> tuple[int, int, int]:
    """Return the RGB values, 0 to 255, of a colour name or #rrggbb."""
    try:
        return ImageColor.getrgb(name)[:3]
    except ValueError:
        raise InputError(
            f"background {name!r} is not a colour: give a name such as white, or #rrggbb"
        ) from None


def size_of(data: bytes) -> tuple[int, int]:
    """Return width and height from the header."""
    return header(data).size


def render(data: bytes, rendering: Rendering) -> np.ndarray:
    """Decode an image to (3, R, R) uint8: upright, on the background, centre square, resized with Lanczos."""
    image = header(data)
    try:
        image.load()
        image = half(upright(image), rendering.part)
        return square(flat(eight_bit(image), rendering), rendering.resolution)
    except BadImage:
        raise
    except MemoryError:
        raise BadImage("too large for the memory") from None
    except Exception:  # decoders raise all kinds of errors for damaged files
        raise BadImage("damaged or truncated") from None


def header(data: bytes) -> Image.Image:
    """Open an image without decoding it; raise BadImage if decoding it would fail or be dangerous."""
    if not data:
        raise BadImage("empty file")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise BadImage(too_many_pixels()) from None
    except Exception:
        raise BadImage(f"not an image of a known format ({', '.join(FORMATS)})") from None
    if min(image.size) < 1:
        raise BadImage("no pixels")
    if image.width * image.height > pixel_limit():
        raise BadImage(too_many_pixels())
    if image.width * image.height * bytes_per_pixel(image) > DECODED_BYTES:
        raise BadImage(f"more than {DECODED_BYTES // 10**6} MB when decoded")
    return image


def bytes_per_pixel(image: Image.Image) -> int:
    """Return the size of a pixel in the largest array that `render` makes of an image."""
    if image.mode.startswith(("F", "I")):
        return 8  # float64
    return 4 if image.has_transparency_data else 3


def pixel_limit() -> int:
    """Return the maximum number of pixels of an image. It is Pillow's limit for warnings."""
    return Image.MAX_IMAGE_PIXELS or 89_478_485


def too_many_pixels() -> str:
    """Return the reason for refusing a decompression bomb."""
    return f"more than {pixel_limit():,} pixels"


def upright(image: Image.Image) -> Image.Image:
    """Rotate the image by its EXIF orientation."""
    try:
        return ImageOps.exif_transpose(image) or image
    except Exception:  # damaged EXIF data does not matter
        return image


def half(image: Image.Image, part: Part) -> Image.Image:
    """Return the left or right image of two side by side, or the whole."""
    if part == "whole":
        return image
    width, height = image.size
    if width % 2 or width <= height:
        raise BadImage("not two images side by side (of an odd width, or no wider than high)")
    left = 0 if part == "left" else width // 2
    return image.crop((left, 0, left + width // 2, height))


def eight_bit(image: Image.Image) -> Image.Image:
    """Convert to 8 bits per channel: scale integers 0..65535 and floats 0..1, refuse other values."""
    if image.mode == "F":
        return scaled(np.asarray(image, np.float64), 1.0, "float values outside 0..1")
    if image.mode.startswith("I"):
        return scaled(np.asarray(image).astype(np.float64), SIXTEEN_BIT, "integer values outside 0..65535")
    return image


def scaled(values: np.ndarray, top: float, refusal: str) -> Image.Image:
    """Convert values 0..top to a grey image; raise BadImage for others."""
    if not np.isfinite(values).all():
        raise BadImage("values that are not finite (NaN or infinity)")
    if values.min() < 0 or values.max() > top:
        raise BadImage(refusal)
    return Image.fromarray(np.round(values * (255 / top)).astype(np.uint8), "L")


def flat(image: Image.Image, rendering: Rendering) -> Image.Image:
    """Convert to RGB on the background, without transparency."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (*rendering.rgb, 255)), image)
    image = image.convert("RGB")
    return image.convert("L").convert("RGB") if rendering.colour == "grey" else image


def square(image: Image.Image, resolution: int) -> np.ndarray:
    """Return the largest centred square, resized to (3, R, R)."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    if side != resolution:
        image = image.resize((resolution, resolution), Image.Resampling.LANCZOS, box=box)
    else:
        image = image.crop(box)
    return np.asarray(image).transpose(2, 0, 1)


def is_grey(image: np.ndarray) -> bool:
    """Return whether the three channels of (3, R, R) are equal."""
    return bool((image[0] == image[1]).all() and (image[0] == image[2]).all())
