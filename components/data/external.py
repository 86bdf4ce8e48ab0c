"""Any folder of images, made elsewhere, looked at as images of a data set: to be judged against it.

Unlike data that is added, nothing is skipped: a number over the images that happened to be readable is a
number about something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.common.atomic import remove
from components.common.errors import InputError
from components.data.card import DataCard
from components.data.sources.folder import Request, attempt, examples, in_order, refuse_too_many
from components.data.sources.images import Rendering, header, is_grey, render
from components.data.sources.listing import Found, local_folder, scan
from components.data.sources.names import clean, shown

AS_THEY_ARE = "as they are"
RESIZED = "centre square, resized with Lanczos"  # images.py:square, the way of every data set
FROM_JPEG = ", from JPEG"  # compression moves distances, so it is part of how images were prepared
JPEG = ("JPEG", "MPO")  # several JPEGs in one file, as some cameras write
READERS = 8  # threads that look at headers: they wait for the disk
DECODERS = 2  # threads that decode a chunk


@dataclass(frozen=True)
class Outside:
    """A folder of images and how they become images of a data set; small, so that workers can be sent it."""

    root: Path  # a folder of this machine
    paths: list[str]  # below root, with '/', sorted
    labels: np.ndarray | None  # (N,) int64, numbered as on the card; None: not every image states a class
    preparation: str  # in words that are part of what makes two numbers comparable
    resized: int  # images that were not yet squares of the data set's size


def look(source: str | Path, card: DataCard, scratch: Path) -> Outside:
    """The images below `source`, a folder or fsspec URL, with their headers read and no pixel decoded.

    A remote folder is copied below `scratch`, which must last while the images are read.

    Raises:
        InputError: nothing there, no images, or files among them that cannot be used.
    """
    found = Found()
    root = local_folder(source, mirror(scratch), found, None)
    scan(root, found)
    heads = read_headers(root, found)
    refuse(found, source)
    resized = sum(size != (card.resolution, card.resolution) for size, _ in heads)
    preparation = RESIZED if resized else AS_THEY_ARE
    if any(kind in JPEG for _, kind in heads):
        preparation += FROM_JPEG
    return Outside(root, found.paths, labels_of(found.paths, card), preparation, resized)


def mirror(scratch: Path) -> Path:
    """Where a remote folder is copied to, cleared of an earlier copy."""
    scratch.mkdir(parents=True, exist_ok=True)
    remove(scratch / "mirror")
    return scratch / "mirror"


def read_headers(root: Path, found: Found) -> list[tuple[tuple[int, int], str]]:
    """(width, height) and format of each image found, in order of paths; unsound ones become skipped."""
    good, heads = [], []
    for path, _, head in in_order(
        lambda path: attempt(root, path, size_and_format), sorted(found.paths), READERS
    ):
        if isinstance(head, str):
            found.skip(path, head)
        else:
            good.append(path)
            heads.append(head)
    found.paths = good
    return heads


def size_and_format(data: bytes) -> tuple[tuple[int, int], str]:
    """Width and height, and the format by contents: a name may end in anything."""
    image = header(data)
    return image.size, image.format or ""


def refuse(found: Found, source: str | Path) -> None:
    """Raise if there are no images, or a file that would have to be left out."""
    bad = len(found.skipped)
    if bad:
        raise InputError(
            f"{bad} of {bad + len(found.paths)} images in {shown(str(source))} cannot be used, such as "
            f"{examples(found.skipped)}; none is left out without a word, so repair or remove them"
        )
    refuse_too_many(found, Request(), source)


def labels_of(paths: list[str], card: DataCard) -> np.ndarray | None:
    """The class of each image by the folder it lies below: all by name, or all by number."""
    names = card.labels or []
    for naming in ({name: i for i, name in enumerate(names)}, {str(i): i for i in range(len(names))}):
        labels = [class_of(path, naming) for path in paths]
        if None not in labels:
            return np.array(labels, np.int64)
    return None


def class_of(path: str, naming: Mapping[str, int]) -> int | None:
    """The class of the outermost folder of `path` that is one."""
    return next((naming[name] for name in map(clean, path.split("/")[:-1]) if name in naming), None)


def read(outside: Outside, rows: Sequence[int] | range, card: DataCard) -> np.ndarray:
    """The images at `rows` as uint8 (n, C, H, W), prepared as the data set's own were.

    Raises:
        InputError: a damaged image, or one in colour where the data set is grey.
    """
    how = Rendering(card.resolution, background=card.background or "white")
    images = np.empty((len(rows), card.channels, card.resolution, card.resolution), np.uint8)
    paths = [outside.paths[row] for row in rows]
    work = in_order(lambda path: attempt(outside.root, path, lambda data: render(data, how)), paths, DECODERS)
    for number, (path, _, image) in enumerate(work):
        if isinstance(image, str):
            raise InputError(
                f"image {shown(path)} cannot be used: {image}; none is left out without a word, so repair or "
                f"remove it"
            )
        if card.channels == 1 and not is_grey(image):
            raise InputError(
                f"image {shown(path)} is in colour and data set {card.name} is grey: "
                f"convert the images to grey, or choose one in colour"
            )
        images[number] = image[: card.channels]
    return images
