"""Read an external folder of images like images of a data set, to evaluate them against it.

Unlike in added data, no unreadable image is skipped: metrics must describe all images of the folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from components.common.atomic import remove
from components.common.errors import InputError
from components.common.names import clean, displayed
from components.common.parallel import in_order
from components.data.card import DatasetCard
from components.data.sources.folder import Request, attempt, examples, refuse_too_many
from components.data.sources.images import BadImage, Rendering, decoded, is_grey, page_numbers, render
from components.data.sources.listing import Files, local_folder, scan

AS_THEY_ARE = "as they are"
RESIZED = "centre square, resized with Lanczos"  # images.py:square, as in every data set
FROM_JPEG = ", from JPEG"  # compression changes distances, so it is part of the preparation
JPEG = ("JPEG", "MPO")  # MPO: several JPEGs in a file, as some cameras write
READERS = 8  # threads that read headers; they mostly wait for the disk
DECODERS = 2  # threads that decode images


@dataclass(frozen=True)
class ExternalImages:
    """A folder of images and how to prepare them; contains no pixels, so that it can be sent to workers."""

    root: Path  # on this machine
    paths: list[str]  # relative to root, with '/', sorted
    labels: np.ndarray | None  # (N,) int64, as on the card; None: some images are in no class's folder
    preparation: str  # part of the comparability of metrics
    resized: int  # images that are not squares of the data set's size

    def part(self, start: int, n: int) -> ExternalImages:
        """Return images [start, start + n) only, so that what a job is sent does not grow with the folder."""
        labels = self.labels if self.labels is None else self.labels[start : start + n]
        return replace(self, paths=self.paths[start : start + n], labels=labels)


def scan_images(source: str | Path, card: DatasetCard, scratch: Path) -> ExternalImages:
    """List the images below `source`, a folder or fsspec URL; read their headers but decode no pixels.

    A remote folder is copied below `scratch`, which must exist as long as images are read.

    Raises:
        InputError: the folder does not exist, contains no images, or contains an unusable image.
    """
    files = Files()
    root = local_folder(source, mirror(scratch), files, None)
    scan(root, files, advice="; copy what is behind them into it")
    headers = read_headers(root, files)
    refuse(files, source)
    resized = sum(size != (card.resolution, card.resolution) for size, _ in headers)
    preparation = RESIZED if resized else AS_THEY_ARE
    if any(kind in JPEG for _, kind in headers):
        preparation += FROM_JPEG
    return ExternalImages(root, files.paths, labels_of(files.paths, card), preparation, resized)


def mirror(scratch: Path) -> Path:
    """Return the folder for the copy of a remote folder, after removing an earlier copy."""
    scratch.mkdir(parents=True, exist_ok=True)
    remove(scratch / "mirror")
    return scratch / "mirror"


def read_headers(root: Path, files: Files) -> list[tuple[tuple[int, int], str]]:
    """Return (width, height) and format of each image, sorted by path; skip images with invalid headers."""
    paths, headers = [], []
    read = in_order(lambda path: attempt(root, path, size_and_format), sorted(files.paths), READERS)
    for path, _, result in read:
        if isinstance(result, str):
            files.skip(path, result)
        else:
            paths.append(path)
            headers.append(result)
    files.paths = paths
    return headers


def size_and_format(data: bytes) -> tuple[tuple[int, int], str]:
    """Return width and height, and the format by the contents, not by the name; refuse several pictures."""
    size, kind, pictures = decoded(data, lambda image: (image.size, image.format or "", page_numbers(image)))
    if len(pictures) > 1:
        raise BadImage("several pictures in one file: save each as a file")
    return size, kind


def refuse(files: Files, source: str | Path) -> None:
    """Raise InputError if there is no image or an unusable one."""
    bad = len(files.skipped)
    if bad:
        raise InputError(
            f"{bad} of {bad + len(files.paths)} images in {displayed(source)} cannot be used, such as "
            f"{examples(files.skipped)}; none is skipped, so repair or remove them"
        )
    refuse_too_many(files, Request(), source)


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
        InputError: an image is damaged, or in colour although the data set is grey.
    """
    rendering = Rendering(card.resolution, background=card.background or "white")
    images = np.empty((len(rows), card.channels, card.resolution, card.resolution), np.uint8)
    paths = [outside.paths[row] for row in rows]
    rendered = in_order(
        lambda path: attempt(outside.root, path, lambda data: render(data, rendering)), paths, DECODERS
    )
    for number, (path, _, image) in enumerate(rendered):
        if isinstance(image, str):
            raise InputError(
                f"image {displayed(path)} cannot be used: {image}; none is skipped, so repair or remove it"
            )
        if card.channels == 1 and not is_grey(image):
            raise InputError(
                f"image {displayed(path)} is in colour and data set {card.name} is grey: "
                f"convert the images to grey, or choose a data set in colour"
            )
        images[number] = image[: card.channels]
    return images
