"""One image file of any kind to (3, R, R) uint8, or BadImage with the reason."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageColor, ImageOps

from components.common.errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # no format whose decoder runs other programs
PNM = (".ppm", ".pgm", ".pbm", ".pnm")
EXTENSIONS = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff", *PNM}
ARRAYS = {".npy", ".npz", ".exr", ".hdr", ".dng", ".raw", ".cr2", ".nef"}
UNSUPPORTED = {".heic", ".heif", ".avif", ".svg", ".psd", ".jxl", ".jp2", ".eps", ".pdf", *ARRAYS}
FILE_BYTES = 256_000_000
SIXTEEN_BIT = 65535


class BadImage(Exception):
    """A file that cannot be used; the message is the reason, the same for all files with that trouble."""


@dataclass(frozen=True)
class Rendering:
    """How images are brought to one size and colour."""

    resolution: int
    colour: str = "auto"  # auto | grey | rgb
    background: str = "white"

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The background as numbers."""
        return colour_of(self.background)


def colour_of(name: str) -> tuple[int, int, int]:
    """A colour by name or #rrggbb."""
    try:
        return ImageColor.getrgb(name)[:3]
    except ValueError:
        raise InputError(
            f"background {name!r} is not a colour: give a name such as white, or #rrggbb"
        ) from None


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height from the header, nothing decoded."""
    return header(data).size


def render(data: bytes, how: Rendering) -> np.ndarray:
    """The image as (3, R, R) uint8: upright, on the background, centre square, resized with antialiasing."""
    image = header(data)
    try:
        image.load()
        image = upright(image)
        return square(flat(eight_bit(image), how), how.resolution)
    except BadImage:
        raise
    except MemoryError:
        raise BadImage("too large for the memory") from None
    except Exception:  # decoders raise nearly anything on damaged files
        raise BadImage("damaged or truncated") from None


def header(data: bytes) -> Image.Image:
    """The image, opened but not decoded; refused if decoding would be dangerous."""
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
    return image


def pixel_limit() -> int:
    """Most pixels an image may have: Pillow's own limit, which Pillow only warns of."""
    return Image.MAX_IMAGE_PIXELS or 89_478_485


def too_many_pixels() -> str:
    """The reason a decompression bomb is refused for."""
    return f"more than {pixel_limit():,} pixels"


def upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says."""
    try:
        return ImageOps.exif_transpose(image) or image
    except Exception:  # damaged EXIF is no reason to refuse the picture
        return image


def eight_bit(image: Image.Image) -> Image.Image:
    """The image with 8 bits per channel: integers 0..65535 and floats 0..1 are scaled, others refused."""
    if image.mode == "F":
        return scaled(np.asarray(image, np.float64), 1.0, "float values outside 0..1")
    if image.mode.startswith("I"):
        return scaled(np.asarray(image).astype(np.float64), SIXTEEN_BIT, "integer values outside 0..65535")
    return image


def scaled(values: np.ndarray, top: float, refusal: str) -> Image.Image:
    """Values 0..top as a grey image."""
    if not np.isfinite(values).all():
        raise BadImage("values that are not finite (NaN or infinity)")
    if values.min() < 0 or values.max() > top:
        raise BadImage(refusal)
    return Image.fromarray(np.round(values * (255 / top)).astype(np.uint8), "L")


def flat(image: Image.Image, how: Rendering) -> Image.Image:
    """The image as RGB without transparency."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (*how.rgb, 255)), image)
    image = image.convert("RGB")
    return image.convert("L").convert("RGB") if how.colour == "grey" else image


def square(image: Image.Image, resolution: int) -> np.ndarray:
    """The largest centred square at `resolution`, (3, R, R)."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    if side != resolution:
        image = image.resize((resolution, resolution), Image.Resampling.LANCZOS, box=box)
    else:
        image = image.crop(box)
    return np.asarray(image).transpose(2, 0, 1)


def is_grey(image: np.ndarray) -> bool:
    """Whether the three channels of (3, R, R) are equal."""
    return bool((image[0] == image[1]).all() and (image[0] == image[2]).all())
