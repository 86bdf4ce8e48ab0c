"""Files of samples: their names, and whether a file is a sample that is to be drawn.

Each file's text says from what it was drawn, so that an interrupted command continues where it stopped, and
samples of other settings are never mixed with these.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from components.common.errors import InputError
from components.sampling import png

DIGITS = 6  # of a file's name, at least, so that names sort as numbers do


def names(n: int) -> list[str]:
    """Return the names of `n` files, which sort in the order of the samples."""
    width = max(DIGITS, len(str(n - 1)))
    return [f"{i:0{width}}.png" for i in range(n)]


def is_drawn(file: Path, made: png.Made) -> bool:
    """Return whether a file is there and whole; raise InputError if it was not made in this way."""
    if not file.exists():
        return False
    try:
        with Image.open(file) as image:
            text = image.info.get(png.MADE)
            image.load()
    except OSError:  # cut short, as by a power failure
        return False
    if text != png.text_of(made):
        raise InputError(
            f"-o {file.parent}: {file.name} exists already and is no sample of this model, seed and "
            "settings; name another folder, or remove it"
        )
    return True
