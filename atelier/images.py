"""Images as callers have them: files, folders, arrays and PIL images."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.common.errors import InputError
from components.sampling import sheets
from components.sampling.sheets import SHEET_COLUMNS

Array: TypeAlias = NDArray[np.uint8]
Picture: TypeAlias = str | os.PathLike[str] | Image.Image | Array
Pictures: TypeAlias = Picture | Sequence[Picture]


def sheet(images: Array | Sequence[Image.Image], columns: int = SHEET_COLUMNS) -> Image.Image:
    """Return one picture of all images, in rows; spare places are black.

    Args:
        images: an array (N, H, W, C), uint8, or PIL images of one size.
        columns: images in a row.

    Raises:
        InputError: there are no images, or they differ in size.
    """
    array = images if isinstance(images, np.ndarray) else stacked(images)
    if array.ndim != 4 or not len(array):
        raise InputError(f"a sheet needs images (N, H, W, C), not an array of shape {array.shape}")
    drawn = sheets.grid(np.ascontiguousarray(array.transpose(0, 3, 1, 2)), min(len(array), columns))
    return Image.fromarray(drawn[..., 0] if drawn.shape[2] == 1 else drawn)


def stacked(images: Sequence[Image.Image]) -> Array:
    """Return PIL images of one size as an array (N, H, W, C); transparency is left out.

    Raises:
        InputError: they differ in size, so that no array holds them.
    """
    grey = all(image.mode in ("L", "LA") for image in images)
    arrays = [np.asarray(image.convert("L" if grey else "RGB")) for image in images]
    if len({array.shape for array in arrays}) != 1:
        sizes = ", ".join(sorted({f"{image.width}x{image.height}" for image in images})) or "none"
        raise InputError(f"one array needs images of one size, not {sizes}; take them as PIL images")
    return np.stack([array[..., None] if array.ndim == 2 else array for array in arrays])


@contextmanager
def as_files(images: Pictures | None, name: str) -> Iterator[list[Path]]:
    """Provide pictures as files; arrays and PIL images become PNG files in a temporary folder.

    Args:
        images: a picture or several: files, PIL images, or arrays (H, W) or (H, W, C), or (N, H, W, C) at
            once; None: none.
        name: of the argument, for errors.

    Raises:
        InputError: an array is not uint8, or has another shape.
    """
    with TemporaryDirectory() as folder:
        files = [_file(one, Path(folder) / f"{i:06}.png", name) for i, one in enumerate(_each(images, name))]
        try:
            yield files
        except InputError as error:  # which names a file that the caller has never seen
            file = re.compile(rf"(--{name} )?{re.escape(folder)}/0*(\d+)\.png")
            raise InputError(file.sub(rf"{name}[\2]", str(error))) from None


def _each(images: Pictures | None, name: str) -> Sequence[Picture]:
    """Return the pictures, each on its own."""
    if images is None:
        return []
    if isinstance(images, np.ndarray):
        return list(images) if images.ndim == 4 else [images]
    if isinstance(images, str | os.PathLike | Image.Image):
        return [images]
    if not len(images):
        raise InputError(f"{name}: there are no images")
    return images


def _file(picture: Picture, file: Path, name: str) -> Path:
    """Return the file of a picture; `file`, newly written, for one that is none."""
    if isinstance(picture, str | os.PathLike):
        return Path(picture).expanduser()
    if isinstance(picture, np.ndarray):
        picture = _image(picture, name)
    picture.save(file, "PNG")
    return file


def _image(array: Array, name: str) -> Image.Image:
    """Return an array (H, W) or (H, W, C) as a PIL image."""
    if array.dtype != np.uint8:
        raise InputError(f"{name}: arrays have pixels from 0 to 255 as uint8, not {array.dtype}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (2, 3, 4)):
        raise InputError(
            f"{name}: an image has the shape (H, W) or (H, W, C) with 1 to 4 channels, not {array.shape}"
        )
    return Image.fromarray(np.ascontiguousarray(array))
