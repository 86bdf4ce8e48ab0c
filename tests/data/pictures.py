"""Small images for the tests."""

from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, size: tuple[int, int] = (20, 20), mode: str = "RGB") -> Image.Image:
    """An image that no other seed gives."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def fill(folder: Path, count: int, first: int = 0, **options) -> Path:
    """`count` different PNG images in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        picture(i, **options).save(folder / f"{i:03d}.png")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }
