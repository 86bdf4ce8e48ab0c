"""A user's image files as sources of samples: read when they are needed, a batch at a time.

Files are read outside of all stages, so no key depends on this module (stages.NEUTRAL).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from components.common.errors import InputError
from components.data.sources.listing import Files, scan
from components.sampling.read_image import attempt, is_as_trained, one_image
from models.data_spec import DataSpec


class SourceFiles:
    """Image files in the shape of a model's sources: [rows] reads them, uint8 (n, C, H, W).

    Attributes:
        paths: the files.
        card: shape of a source.
        background: the colour behind transparent pixels.
        exact: whether files must have the size of a source; else their centre square is resized.
        changed: rows of files that were cut and resized, or lost their colours.
    """

    def __init__(self, paths: Sequence[Path], card: DataSpec, background: str | None, exact: bool):
        self.paths, self.card, self.background, self.exact = paths, card, background, exact
        self.changed: set[int] = set()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: Any) -> np.ndarray:
        unique, places = np.unique(np.asarray(rows), return_inverse=True)
        return np.stack([self._read(int(row)) for row in unique])[places]

    def _read(self, row: int) -> np.ndarray:
        path = self.paths[row]
        image = one_image(path, self.card, self.background, self.exact)
        if not self.exact and not attempt("--source", path, lambda data: is_as_trained(data, self.card)):
            self.changed.add(row)
        return image

    @property
    def note(self) -> str:
        """What was done to the files, as a sentence; empty if nothing was."""
        side, colours = self.card.resolution, "in grey" if self.card.channels == 1 else "in colour"
        were = "was" if len(self.changed) == 1 else "were"
        which = f"{len(self.changed):,} of {len(self):,} images {were}" if len(self) > 1 else "The image was"
        done = f"cut to the centre square, resized to {side}x{side} pixels and read {colours}"
        return f"{which} {done}, as the model was trained." if self.changed else ""


def image_files(folder: Path) -> list[str]:
    """Return the image files below a folder, relative to it, in order.

    Raises:
        InputError: there are none, or one of them cannot be used.
    """
    files = Files()
    scan(folder, files)
    if files.skipped:
        name, reason = files.skipped[0]
        raise InputError(f"--source {folder / name}: {reason}")
    if not files.paths:
        raise InputError(f"--source {folder}: there are no images in it")
    return sorted(files.paths)


def output_names(paths: Sequence[str]) -> dict[str, str]:
    """Return the name of each file's output: the same as PNG.

    Files that differ in their extensions alone keep them: a.jpg and a.png become a.jpg.png and a.png.png. So
    does a.jpg beside a folder a.png.
    """
    names = {path: str(PurePosixPath(path).with_suffix(".png")) for path in paths}
    folders = {str(folder).casefold() for path in paths for folder in PurePosixPath(path).parents}
    while clashing := {
        name
        for name, count in Counter(map(str.casefold, names.values())).items()
        if count > 1 or name in folders
    }:
        whole = {path: f"{path}.png" for path, name in names.items() if name.casefold() in clashing}
        if whole.items() <= names.items():
            raise InputError(f"--source: {' and '.join(sorted(whole)[:2])} differ in case alone; rename one")
        names |= whole
    return names
