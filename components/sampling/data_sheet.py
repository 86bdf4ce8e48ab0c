"""Draw some images of a prepared data set as one picture, with their sources."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from components.data.card import DatasetCard
from components.data.dataset import ShardedArray, Split, open_split
from components.sampling.sheets import SHEET_COLUMNS, grid, grid_rows
from components.sampling.to_file import check_picture, save_picture

MIN_SIDE = 64  # pixels: smaller images are enlarged, every pixel to a square
MARGIN = 4  # white pixels around an image or a pair


def write_data_sheet(folder: Path, output: Path, *, split: str = "train", n: int = 40) -> int:
    """Draw `n` images of a split of the data set in `folder`; return how many there are on the picture.

    Classes take turns, else the first images are drawn. A pair has its source on the left. Two domains
    without pairs are one above the other, sources first.

    Args:
        folder: of a prepared data set.
        output: a .png or .webp file.
        split: train, validation or test.
        n: number of images, at most those of the split.

    Raises:
        InputError: there is no such split, `n` is not positive, or the picture has another file type.
    """
    check_picture(output, n)
    card = DatasetCard.read(folder)
    opened = open_split(folder, split, sources=card.sources is not None)
    rows = rows_of(opened, n)
    side = max(card.resolution, card.sources.resolution if card.sources else 0)
    side *= max(1, -(-MIN_SIDE // side))
    images = tiles(opened.images, rows, side)
    save_picture(sheet(opened, rows, images, paired=not card.sources or split in card.sources.paired), output)
    return len(rows)


def rows_of(split: Split, n: int) -> np.ndarray:
    """Return `n` rows of a split, or all: classes in turn if there are labels and enough images."""
    whole_lines = -(-n // SHEET_COLUMNS) * SHEET_COLUMNS
    return grid_rows(split, whole_lines)[:n] if whole_lines <= len(split) else np.arange(min(n, len(split)))


def sheet(split: Split, rows: np.ndarray, images: np.ndarray, *, paired: bool) -> np.ndarray:
    """Return the picture (H, W, 3) of images (n, 3, S, S), which are those at `rows`, and their sources."""
    side = images.shape[-1]
    if split.sources is None:
        return on_white(images, min(len(images), SHEET_COLUMNS))
    if paired:
        both = np.concatenate([tiles(split.sources, rows, side), images], axis=3)
        return on_white(both, min(len(images), SHEET_COLUMNS // 2))
    sources = tiles(split.sources, np.arange(min(len(rows), len(split.sources))), side)
    columns = min(max(len(images), len(sources)), SHEET_COLUMNS)
    above, below = (on_white(domain, columns) for domain in (sources, images))
    line = np.zeros((MARGIN, above.shape[1], 3), np.uint8)
    return np.concatenate([above, line, below])


def tiles(images: ShardedArray, rows: np.ndarray, side: int) -> np.ndarray:
    """Return images as RGB (n, 3, side, side): every pixel as a square, as nearly as `side` allows."""
    chosen = images[rows]
    index = np.arange(side) * chosen.shape[-1] // side
    enlarged = chosen[:, :, index][:, :, :, index]
    return np.repeat(enlarged, 3, axis=1) if chosen.shape[1] == 1 else enlarged


def on_white(images: np.ndarray, columns: int) -> np.ndarray:
    """Return images (n, 3, H, W) with a margin as one picture; the rest of the last line is white too."""
    spare, margin = -len(images) % columns, (MARGIN, MARGIN)
    return grid(np.pad(images, ((0, spare), (0, 0), margin, margin), constant_values=255), columns)
