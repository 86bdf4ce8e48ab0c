"""Read an external folder of images like images of a data set, to evaluate them against it.

As in added data, a few files that cannot be used are left out and named, and a folder of many is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from components.common.atomic import remove
from components.common.errors import InputError
from components.common.names import clean, displayed
from components.common.parallel import in_order
from components.data.card import DatasetCard
from components.data.sources.attempt import attempt
from components.data.sources.folder import Request, refuse_too_many
from components.data.sources.images import (
    BadImage,
    Rendering,
    decoded,
    is_grey,
    page_numbers,
    render,
    rendered,
)
from components.data.sources.listing import Files, local_folder, scan

AS_THEY_ARE = "as they are"
RESIZED = "centre square, resized with Lanczos"  # images.py:square, as in every data set
FROM_JPEG = ", from JPEG"  # compression changes distances, so it is part of the preparation
JPEG = ("JPEG", "MPO")  # MPO: several JPEGs in a file, as some cameras write
READERS = 8  # threads that read headers; they mostly wait for the disk
DECODERS = 2  # threads that decode images
NAMED = 10  # files that are left out, in a message


@dataclass(frozen=True)
class ExternalImages:
    """A folder of images and how to prepare them; contains no pixels, so that it can be sent to workers."""

    root: Path  # on this machine
    paths: list[str]  # relative to root, with '/', sorted
    labels: np.ndarray | None  # (N,) int64, as on the card; None: some images are in no class's folder
    preparation: str  # part of the comparability of metrics
    resized: int  # images that are not squares of the data set's size
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (file, why it cannot be used)

    def part(self, start: int, n: int) -> ExternalImages:
        """Return images [start, start + n) only, so that what a job is sent does not grow with the folder."""
        labels = self.labels if self.labels is None else self.labels[start : start + n]
        return replace(self, paths=self.paths[start : start + n], labels=labels, skipped=[])

    @property
    def notice(self) -> str:
        """Which files are left out and why, in a sentence; empty if none is."""
        return left_out(self.skipped, len(self.paths) + len(self.skipped))


def scan_images(source: str | Path, card: DatasetCard, scratch: Path) -> ExternalImages:
    """List the images below `source`, a folder or fsspec URL, that can be used; decode each once to see.

    A remote folder is copied below `scratch`, which must exist as long as images are read.

    Raises:
        InputError: the folder does not exist, contains no images, or too many that cannot be used.
    """
    files = Files()
    root = local_folder(source, mirror(scratch), files, None)
    scan(root, files, advice="; copy what is behind them into it")
    headers = read_headers(root, files, rendering_of(card))
    refuse_too_many(files, Request(), source)
    resized = sum(size != (card.resolution, card.resolution) for size, _ in headers)
    preparation = RESIZED if resized else AS_THEY_ARE
    if any(kind in JPEG for _, kind in headers):
        preparation += FROM_JPEG
    labels = labels_of(files.paths, card)
    return ExternalImages(root, files.paths, labels, preparation, resized, files.skipped)


def mirror(scratch: Path) -> Path:
    """Return the folder for the copy of a remote folder, after removing an earlier copy."""
    scratch.mkdir(parents=True, exist_ok=True)
    remove(scratch / "mirror")
    return scratch / "mirror"


def left_out(skipped: Sequence[tuple[str, str]], total: int) -> str:
    """Return which of `total` images are left out and why, in a sentence; empty if none is."""
    if not skipped:
        return ""
    names = "; ".join(f"{file}: {reason}" for file, reason in skipped[:NAMED])
    more = f"; and {len(skipped) - NAMED} more" if len(skipped) > NAMED else ""
    return f"left out {len(skipped)} of {total:,} images, which cannot be used: {names}{more}"


def rendering_of(card: DatasetCard) -> Rendering:
    """Return how images of a data set are made from files."""
    return Rendering(card.resolution, background=card.background or "white")


def read_headers(root: Path, files: Files, rendering: Rendering) -> list[tuple[tuple[int, int], str]]:
    """Return (width, height) and format of each image, sorted by path; skip those that cannot be used."""
    paths, headers = [], []

    def look(data: bytes) -> tuple[tuple[int, int], str]:
        return size_and_format(data, rendering)

    read = in_order(lambda path: attempt(root, path, look), sorted(files.paths), READERS)
    for path, _, result in read:
        if isinstance(result, str):
            files.skip(path, result)
        else:
            paths.append(path)
            headers.append(result)
    files.paths = paths
    return headers


def size_and_format(data: bytes, rendering: Rendering) -> tuple[tuple[int, int], str]:
    """Return width and height, and the format by the contents, not by the name.

    Raises:
        BadImage: there are several pictures in the file, or the pixels cannot be used.
    """

    def look(image: Image.Image) -> tuple[tuple[int, int], str]:
        size_and_format = image.size, image.format or ""
        if len(page_numbers(image)) > 1:
            raise BadImage("several pictures in one file: save each as a file")
        rendered(image, rendering)
        return size_and_format

    return decoded(data, look)


def labels_of(paths: list[str], card: DatasetCard) -> np.ndarray | None:
    """Return the class of each image by its folder: all by name, else all by number, else None.

    Where names are numbers, those of folders are names.
    """
    names = card.labels or []
    numbers = [] if any(map(str.isdecimal, names)) else [{str(i): i for i in range(len(names))}]
    for naming in ({name: i for i, name in enumerate(names)}, *numbers):
        labels = [class_of(path, naming) for path in paths]
        if None not in labels:
            return np.array(labels, np.int64)
    return None


def class_of(path: str, naming: Mapping[str, int]) -> int | None:
    """Return the class of the outermost folder of `path` that names a class; None: no folder does."""
    return next((naming[name] for name in map(clean, path.split("/")[:-1]) if name in naming), None)


def read(outside: ExternalImages, rows: Sequence[int] | range, card: DatasetCard) -> np.ndarray:
    """Read the images at `rows` as uint8 (n, C, H, W), prepared like those of the data set.

    Raises:
        InputError: an image has been damaged or removed since, or is in colour although the data set is grey.
    """
    rendering = rendering_of(card)
    images = np.empty((len(rows), card.channels, card.resolution, card.resolution), np.uint8)
    paths = [outside.paths[row] for row in rows]
    results = in_order(
        lambda path: attempt(outside.root, path, lambda data: render(data, rendering)), paths, DECODERS
    )
    for number, (path, _, image) in enumerate(results):
        if isinstance(image, str):
            raise InputError(f"image {displayed(path)} cannot be used any more: {image}; run it again")
        if card.channels == 1 and not is_grey(image):
            raise InputError(
                f"image {displayed(path)} is in colour and data set {card.name} is grey: "
                f"convert the images to grey, or choose a data set in colour"
            )
        images[number] = image[: card.channels]
    return images
