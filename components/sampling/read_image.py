"""Read a user's image files as images for a model, in the way data sets are read.

Images are read outside of all stages, so no key depends on this module (stages.NEUTRAL).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from components.common.errors import InputError
from components.data.sources.attempt import read
from components.data.sources.images import BadImage, Rendering, eight_bit, flat, header, render, upright
from models.data_spec import DataSpec

Read = TypeVar("Read")


def one_image(path: Path, card: DataSpec, background: str | None = None, exact: bool = False) -> np.ndarray:
    """Read a picture as uint8 (C, H, W) of the card's shape; `background` (white) replaces transparency.

    Raises:
        InputError: the file cannot be used or, if `exact`, has another size.
    """
    colour, side = "grey" if card.channels == 1 else "rgb", card.resolution
    rendering = Rendering(side, colour, background or "white")
    if exact and (size := attempt("--source", path, lambda data: header(data).size)) != (side, side):
        raise InputError(
            f"--source {path} has {size[0]}x{size[1]} pixels; the model enlarges images of {side}x{side}"
        )
    return attempt("--source", path, lambda data: render(data, rendering))[: card.channels]


def exact_image(path: Path, card: DataSpec, background: str | None = None) -> np.ndarray:
    """Read a picture of the card's shape as uint8 (C, H, W); `background` (white) replaces transparency.

    Raises:
        InputError: the file cannot be used, or has another size or other colours.
    """
    rendering, side = Rendering(card.resolution, "rgb", background or "white"), card.resolution
    picture = attempt("the target", path, lambda data: flat(eight_bit(opened(data)), rendering))
    if picture.size != (side, side):
        raise InputError(
            f"the target {path} has {picture.width}x{picture.height} pixels, and the model's images "
            f"{side}x{side}; cut and resize it"
        )
    image = np.array(picture).transpose(2, 0, 1)
    if card.channels == 1 and (image != image[:1]).any():
        raise InputError(f"the target {path} is in colour, and the model's images are grey; convert it")
    if card.channels > 1 and attempt("the target", path, lambda data: has_no_colours(header(data))):
        raise InputError(
            f"the target {path} is grey, and the model's images are in colour; convert it to RGB"
        )
    return image[: card.channels]


def own_size(path: Path, card: DataSpec, background: str | None = None) -> np.ndarray:
    """Read a picture at its own size as uint8 (C, H, W), upright, on the background (white).

    Raises:
        InputError: the file cannot be used.
    """
    rendering = Rendering(card.resolution, "grey" if card.channels == 1 else "rgb", background or "white")
    image = attempt("--source", path, lambda data: flat(eight_bit(opened(data)), rendering))
    return np.array(image).transpose(2, 0, 1)[: card.channels]


def alpha_of(path: Path) -> np.ndarray | None:
    """Return the opacity of a picture's pixels, upright, uint8 (H, W); None if all are opaque."""
    image = attempt("--source", path, opened)
    if not image.has_transparency_data:
        return None
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    return None if (alpha == 255).all() else alpha


def is_as_trained(data: bytes, card: DataSpec) -> bool:
    """Whether a picture has the size of a model's sources, and no colours if these have none."""
    image = header(data)
    return image.size == (card.resolution, card.resolution) and (has_no_colours(image) or card.channels > 1)


def has_no_colours(image: Image.Image) -> bool:
    """Whether the mode of a picture is one of grey."""
    return image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")


def opened(data: bytes) -> Image.Image:
    """Decode a picture, upright; raise BadImage if it cannot be."""
    image = header(data)
    try:
        image.load()
        return upright(image)
    except MemoryError:
        raise BadImage("too large for the memory") from None
    except Exception:  # decoders raise all kinds of errors for damaged files
        raise BadImage("damaged or truncated") from None


def one_mask(path: Path, resolution: int) -> np.ndarray:
    """Read a mask, white where to fill in, as uint8 (1, H, W); its size must be the model's.

    Raises:
        InputError: the file cannot be used or has another size.
    """
    mask = attempt("--mask", path, lambda data: levels(data, Rendering(resolution, "grey", "black")))
    if mask.shape != (resolution, resolution):
        height, width = mask.shape
        raise InputError(
            f"--mask {path} has {width}x{height} pixels; the model's images have {resolution}x{resolution}"
        )
    return np.where(mask >= 128, 255, 0).astype(np.uint8)[None]


def levels(data: bytes, rendering: Rendering) -> np.ndarray:
    """Return the grey levels of a picture at its original size, uint8 (H, W)."""
    image = header(data)
    try:
        image.load()
        return np.asarray(flat(eight_bit(image), rendering).convert("L"))
    except (OSError, SyntaxError, ValueError):  # decoders raise these on damaged files
        raise BadImage("damaged or truncated") from None


def attempt(option: str, path: Path, decode: Callable[[bytes], Read]) -> Read:
    """Decode a file; raise InputError with the command line option and the reason on failure."""
    try:
        return decode(read(path))
    except BadImage as error:
        raise InputError(f"{option} {path}: {error}") from None
    except OSError as error:
        raise InputError(f"{option} {path}: {error.strerror or error}") from None
