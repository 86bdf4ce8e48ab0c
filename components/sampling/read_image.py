"""Pictures that a person points at, as images of a model; read as those of data sets are.

What they make happens outside of every stage, so that no key depends on it (stages.NEUTRAL).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from components.common.errors import InputError
from components.data.sources.folder import read
from components.data.sources.images import BadImage, Rendering, eight_bit, flat, header, render
from models.family import DataSpec

Read = TypeVar("Read")


def one_image(path: Path, card: DataSpec, background: str | None = None, exact: bool = False) -> np.ndarray:
    """A picture of any kind as uint8 (C, H, W) of the card's shape; what is transparent on white, or another.

    Raises:
        InputError: it cannot be used, or has another size where that is to be `exact`.
    """
    colour, side = "grey" if card.channels == 1 else "rgb", card.resolution
    how = Rendering(side, colour, background or "white")
    if exact and (size := attempt("--source", path, lambda data: header(data).size)) != (side, side):
        raise InputError(
            f"--source {path} has {size[0]}x{size[1]} pixels; the model enlarges images of {side}x{side}"
        )
    return attempt("--source", path, lambda data: render(data, how))[: card.channels]


def one_mask(path: Path, resolution: int) -> np.ndarray:
    """A picture of a mask, white where to fill in, as uint8 (1, H, W); its size must be the model's.

    Raises:
        InputError: it cannot be used, or has another size.
    """
    mask = attempt("--mask", path, lambda data: levels(data, Rendering(resolution, "grey", "black")))
    if mask.shape != (resolution, resolution):
        height, width = mask.shape
        raise InputError(
            f"--mask {path} has {width}x{height} pixels; the model's images have {resolution}x{resolution}"
        )
    return np.where(mask >= 128, 255, 0).astype(np.uint8)[None]


def levels(data: bytes, how: Rendering) -> np.ndarray:
    """A picture's grey levels as it lies in its file, uint8 (H, W)."""
    image = header(data)
    try:
        image.load()
        return np.asarray(flat(eight_bit(image), how).convert("L"))
    except (OSError, SyntaxError, ValueError):  # what decoders raise on damaged files
        raise BadImage("damaged or truncated") from None


def attempt(option: str, path: Path, do: Callable[[bytes], Read]) -> Read:
    """What `do` makes of a file; InputError, with the option that named it and the reason, if it cannot."""
    try:
        return do(read(path))
    except BadImage as error:
        raise InputError(f"{option} {path}: {error}") from None
    except OSError as error:
        raise InputError(f"{option} {path}: {error.strerror or error}") from None
