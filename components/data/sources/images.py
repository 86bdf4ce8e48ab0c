"""Read an image file of any supported format as (3, R, R) uint8, or raise BadImage with the reason."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageColor, ImageOps, TiffImagePlugin
from PIL.PngImagePlugin import PngImageFile

from components.common.errors import InputError
from components.data.sources.signatures import (
    HEAD,
    SUPPORTED_AS,
    image_format,
    other_content,
    unread_format,
)

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # no format whose decoder runs other programs
PNM = (".ppm", ".pgm", ".pbm", ".pnm")
EXTENSIONS = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff", *PNM}
CAMERA = {".dng", ".raw", ".cr2", ".nef", ".arw", ".orf", ".pef", ".rw2"}  # TIFFs whose first is a preview
ARRAYS = {".npy", ".npz", ".exr", ".hdr", *CAMERA}
OTHERS = {".ico", ".icns", ".tga", ".dds", ".pcx", ".xcf", ".j2k"}
UNSUPPORTED = {".heic", ".heif", ".avif", ".svg", ".psd", ".jxl", ".jp2", ".eps", ".pdf", *ARRAYS, *OTHERS}
FILE_BYTES = 256_000_000
DECODED_BYTES = 256_000_000  # of one array; there are a few at a time
SIXTEEN_BIT = 65535
DEEP_MODES = ("I", "F")  # begin the names of Pillow's modes of more than 8 bits
STRIP = 1 << 22  # values that are scaled at once, so that large files take little memory
ANIMATED = ("GIF", "WEBP", "TIFF", "PNG")  # formats of several pictures; an MPO's others are previews
REDUCED = 0x00FE  # the TIFF tag of pages that are smaller copies of others
KEPT_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf")  # of PNG: pixels and their orientation
T = TypeVar("T")
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
    white: float | None = (
        None  # the value of white in files of more than 8 bits; None: 65535, or 1.0 in floats
    )

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


def render(data: bytes, rendering: Rendering) -> np.ndarray:
    """Decode an image to (3, R, R) uint8: upright, on the background, centre square, resized with Lanczos."""
    return decoded(data, lambda image: rendered(image, rendering))


def render_all(data: bytes, rendering: Rendering) -> list[np.ndarray]:
    """Decode all pictures of a file, each to (3, R, R) uint8 as `render` does."""
    return decoded(data, lambda image: [rendered(picture, rendering) for picture in pictures(image)])


def rendered(image: Image.Image, rendering: Rendering) -> np.ndarray:
    """Convert an opened image to (3, R, R) uint8."""
    image.load()
    image = half(upright(image), rendering.part)
    return square(flat(eight_bit(image, rendering.white), rendering), rendering.resolution)


def brightest(data: bytes) -> float | None:
    """Return the largest value in a file of more than 8 bits; None: it has 8."""

    def largest(image: Image.Image) -> float | None:
        values = [float(np.asarray(picture).max()) for picture in pictures(image) if is_deep(picture)]
        return max(values, default=None)

    return decoded(data, largest)


def decoded(data: bytes, do: Callable[[Image.Image], T]) -> T:
    """Return do(image); read a PNG again without its metadata if that is what is damaged or too large.

    Raises:
        BadImage: the file cannot be used.
    """
    try:
        return _decoded(data, do)
    except BadImage:
        if (stripped := without_metadata(data)) is None:
            raise
        return _decoded(stripped, do)


def _decoded(data: bytes, do: Callable[[Image.Image], T]) -> T:
    image = _header(data)
    try:
        return do(image)
    except BadImage:
        raise
    except MemoryError:
        raise BadImage("too large for the memory") from None
    except Exception:  # decoders raise all kinds of errors for damaged files
        raise BadImage("damaged or truncated") from None


def without_metadata(data: bytes) -> bytes | None:
    """Return a PNG without texts, profiles and other metadata; None: there is nothing to leave out."""
    if image_format(data[:HEAD]) != "PNG":
        return None
    chunks, at = [data[:8]], 8
    while at + 12 <= len(data):
        end = at + 12 + struct.unpack_from(">I", data, at)[0]
        kind = data[at + 4 : at + 8]
        intact = zlib.crc32(data[at + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")
        if kind in KEPT_CHUNKS and (intact or kind != b"eXIf"):
            chunks.append(data[at:end])
        at = end
    stripped = b"".join(chunks)
    return stripped if len(stripped) < len(data) else None


def header(data: bytes) -> Image.Image:
    """Open an image without decoding it; raise BadImage if decoding it would fail or be dangerous."""
    try:
        return _header(data)
    except BadImage:
        if (stripped := without_metadata(data)) is None:
            raise
        return _header(stripped)


def _header(data: bytes) -> Image.Image:
    if not data:
        raise BadImage("empty file")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise BadImage(too_many_pixels()) from None
    except Exception:
        raise BadImage(reason_of(data)) from None
    check_size(image)
    return image


def reason_of(data: bytes) -> str:
    """Return why a file cannot be opened."""
    head = data[:HEAD]
    if image_format(head) == "TIFF" and is_unknown_tiff(data):
        return f"a TIFF with values or channels of this kind {SUPPORTED_AS}"
    if image_format(head):
        return "damaged or truncated"
    if unread := unread_format(head):
        return f"{unread} {SUPPORTED_AS}"
    return other_content(head) or f"not an image of a known format ({', '.join(FORMATS)})"


def is_unknown_tiff(data: bytes) -> bool:
    """Return whether a TIFF is intact but Pillow has no mode for its pixels, such as three floats each."""
    try:
        TiffImagePlugin.TiffImageFile(io.BytesIO(data))
    except SyntaxError as error:
        return "unknown pixel mode" in str(error)
    except Exception:  # decoders raise all kinds of errors for damaged files
        return False
    return False


def check_size(image: Image.Image) -> None:
    """Raise BadImage if decoding an opened image would take too much memory."""
    if min(image.size) < 1:
        raise BadImage("no pixels")
    if image.width * image.height > pixel_limit():
        raise BadImage(too_many_pixels())
    if image.width * image.height * bytes_per_pixel(image) > DECODED_BYTES:
        raise BadImage(f"more than {DECODED_BYTES // 10**6} MB when decoded")


def pictures(image: Image.Image) -> Iterator[Image.Image]:
    """Yield the pictures of an opened file one after the other: pages or frames, without reduced copies."""
    for number in page_numbers(image):
        image.seek(number)
        check_size(image)
        yield image


def page_numbers(image: Image.Image) -> list[int]:
    """Return the numbers of the pictures of an opened file."""
    count = getattr(image, "n_frames", 1) if image.format in ANIMATED else 1
    if image.format != "TIFF" or count == 1:
        return list(range(count))
    numbers = []
    for number in range(count):
        image.seek(number)
        if number == 0 or not int(image.tag_v2.get(REDUCED, 0)) & 1:  # type: ignore[attr-defined]
            numbers.append(number)
    image.seek(0)
    return numbers


def is_deep(image: Image.Image) -> bool:
    """Return whether an image has integers or floats of more than 8 bits."""
    return image.mode.startswith(DEEP_MODES)


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


def is_sideways(image: Image.Image) -> bool:
    """Return whether `upright` exchanges width and height."""
    try:
        if isinstance(image, PngImageFile) and "exif" not in image.info and not has_exif_chunk(image.fp):
            return False  # Pillow would decode the pixels to look behind them
        return image.getexif().get(ExifTags.Base.Orientation) in range(5, 9)
    except Exception:  # damaged EXIF data does not matter
        return False


def has_exif_chunk(file: IO[bytes] | None) -> bool:
    """Return whether a PNG file has EXIF data, before or behind its pixels; read only heads of chunks."""
    if file is None:  # the image is decoded already
        return True
    position = file.tell()
    try:
        file.seek(len(b"\x89PNG\r\n\x1a\n"))
        while len(head := file.read(8)) == 8:
            if head[4:] == b"eXIf":
                return True
            file.seek(int.from_bytes(head[:4]) + 4, os.SEEK_CUR)  # the data and its checksum
        return False
    finally:
        file.seek(position)


def half(image: Image.Image, part: Part) -> Image.Image:
    """Return the left or right image of two side by side, or the whole."""
    if part == "whole":
        return image
    width, height = image.size
    if width % 2 or width <= height:
        raise BadImage("not two images side by side (of an odd width, or no wider than high)")
    left = 0 if part == "left" else width // 2
    return image.crop((left, 0, left + width // 2, height))


def eight_bit(image: Image.Image, white: float | None = None) -> Image.Image:
    """Convert to 8 bits per channel: scale integers 0..white and floats 0..white, refuse other values."""
    if not is_deep(image):
        return image
    top = white or (1.0 if image.mode == "F" else SIXTEEN_BIT)
    kind = "float" if image.mode == "F" else "integer"
    return scaled(np.asarray(image), top, f"{kind} values outside 0..{top:g}")


def scaled(values: np.ndarray, top: float, refusal: str) -> Image.Image:
    """Convert values 0..top (H, W) to a grey image; raise BadImage for others."""
    levels = np.empty(values.shape, np.uint8)
    rows = max(1, STRIP // values.shape[1])
    for start in range(0, len(values), rows):
        strip = values[start : start + rows].astype(np.float64)
        if not np.isfinite(strip).all():
            raise BadImage("values that are not finite (NaN or infinity)")
        if strip.min() < 0 or strip.max() > top:
            raise BadImage(refusal)
        levels[start : start + rows] = np.round(strip * (255 / top))
    return Image.fromarray(levels, "L")


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


@dataclass(frozen=True)
class Summary:
    """The properties of an image that the header of its file states."""

    size: tuple[int, int]  # width, height of the upright image
    pictures: int  # pages or frames
    deep: bool  # more than 8 bits per value
    cut: bool  # colours of 16 bits, of which Pillow reads the upper 8


def summary(path: Path) -> Summary:
    """Read the header of an image file, without decoding it; raise BadImage if it is unusable."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return summary_of(image)
    except Exception:
        data = path.read_bytes() if path.stat().st_size <= FILE_BYTES else b""
        return decoded(data, summary_of)


def summary_of(image: Image.Image) -> Summary:
    """Return what the header of an opened image says."""
    tiles = getattr(image, "tile", [])  # empty once the image is loaded
    cut = not is_deep(image) and any(";16" in str(tile.args) for tile in tiles)
    size = image.size[::-1] if is_sideways(image) else image.size
    return Summary(size, len(page_numbers(image)), is_deep(image), cut)
