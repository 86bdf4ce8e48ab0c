"""Read a folder or URL of image files into a Collection: resize the images and skip unusable ones."""

from __future__ import annotations

import math
import os
import statistics
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from components.common.atomic import remove
from components.common.errors import InputError
from components.common.hashing import sha256
from components.data.sources.base import Collection, Progress
from components.data.sources.caption_files import caption_file, read_captions
from components.data.sources.images import (
    EXTENSIONS,
    FILE_BYTES,
    BadImage,
    Rendering,
    colour_of,
    is_grey,
    render,
    size_of,
)
from components.data.sources.layout import Layout
from components.data.sources.listing import Files, Listing
from components.data.sources.names import clean, displayed
from components.store import Store

MAX_PENDING = 64  # files read ahead


@dataclass(frozen=True)
class Request:
    """The options of `add`."""

    resolution: int | None = None
    colour: str = "auto"
    background: str = "white"
    captions: str | Path | None = None
    max_skipped: int | None = None
    workers: int = 2

    def __post_init__(self) -> None:
        colour_of(self.background)
        if self.colour not in ("auto", "grey", "rgb"):
            raise InputError(f"colour {self.colour!r} is unknown; known: auto, grey, rgb")
        if self.resolution is not None and not 8 <= self.resolution <= 1024:
            raise InputError(f"resolution {self.resolution} is not possible; accepted: 8 to 1024")
        if self.max_skipped is not None and self.max_skipped < 0:
            raise InputError(f"max_skipped {self.max_skipped} is not possible; accepted: 0 or more files")

    def limit(self, files: int) -> int:
        """Return how many of `files` may be unusable."""
        return max(10, files // 100) if self.max_skipped is None else self.max_skipped


def identity(source: str | Path) -> str:
    """Return a string that identifies the source on this machine."""
    if "://" in str(source):
        return Store(str(source)).url
    return str(Path(source).expanduser().resolve())


@contextmanager
def scratch_folder(scratch: Path) -> Iterator[Path]:
    """Yield the new folder `scratch`, which has the pixels of a collection, and remove it afterwards."""
    remove(scratch)
    scratch.mkdir(parents=True)
    try:
        yield scratch
    finally:
        remove(scratch)


def gather(
    listing: Listing, request: Request, scratch: Path, progress: Progress | None, captioned: bool = True
) -> Collection:
    """Read the listed images into a Collection; their pixels are a file in `scratch`."""
    source, files = listing.source, listing.files
    captions = captions_of(listing, request) if captioned else None
    refuse_too_many(files, request, source)
    layout = Layout(listing.keys(files.paths), source, captions is not None)
    images, digests = decode(listing.root, files, request, scratch, progress)
    refuse_too_many(files, request, source)
    keys = listing.keys(files.paths)
    return Collection(
        about=about(source, request, files),
        images=images,
        groups=digests,
        splits=layout.splits(keys, digests),
        captions=None if captions is None else [captions[path] for path in files.paths],
        skipped=files.skipped,
        **layout.classes(keys),
    )


def captions_of(listing: Listing, request: Request) -> dict[str, str] | None:
    """Return the captions of a folder, if it has any, and skip the images without one."""
    path = caption_file(listing.root, request.captions)
    if path is None:
        return None
    captions = read_captions(path)
    keep_captioned(listing.files, captions)
    return captions


def about(source: str | Path, request: Request, files: Files) -> dict[str, Any]:
    """Return the card's entries on the source. A local folder is named without its path."""
    address = identity(source)
    name = address if "://" in address else Path(address).name
    options = {"colour": request.colour, "fit": "centre square", "ignored_files": files.ignored}
    return {
        "title": clean(PurePosixPath(name).name),
        "source": clean(name),
        "licence": "not stated",
        "credit": "not stated",
        "background": request.background,
        "options": options,
    }


def keep_captioned(files: Files, captions: dict[str, str]) -> None:
    """Skip the images that have no caption."""
    for path in files.paths:
        if path not in captions:
            files.skip(path, "no caption")
    files.paths = [path for path in files.paths if path in captions]


def refuse_too_many(files: Files, request: Request, source: str | Path) -> None:
    """Raise InputError if there are no usable images, or too many unusable ones."""
    total, bad, name = len(files.paths) + len(files.skipped), len(files.skipped), displayed(source)
    if total == 0:
        kinds = " ".join(sorted(EXTENSIONS))
        raise InputError(f"{name} holds no images ({files.ignored} other files); accepted: {kinds}")
    if bad > request.limit(total) or not files.paths:
        allowed = f", more than the {request.limit(total)} allowed (max_skipped)" if files.paths else ""
        raise InputError(
            f"{bad} of {total} images in {name} cannot be used{allowed}; such as {examples(files.skipped)}"
        )


def examples(skipped: list[tuple[str, str]]) -> str:
    """Return one file for each of the first three reasons."""
    first: dict[str, str] = {}
    for path, reason in skipped:
        first.setdefault(reason, path)
    return "; ".join(f"{path}: {reason}" for reason, path in list(first.items())[:3])


def decode(
    root: Path, files: Files, request: Request, scratch: Path, progress: Progress | None
) -> tuple[np.ndarray, list[str]]:
    """Return the pixels (N, C, R, R) and digests of the images that can be decoded; skip the others."""
    resolution = request.resolution or choose_resolution(root, files, request.workers)
    rendering = Rendering(resolution, request.colour, request.background)
    pixels = PixelFile(scratch / "pixels", len(files.paths), rendering)
    decoded: list[str] = []
    digests: list[str] = []
    results = rendered(root, files.paths, rendering, request.workers)
    for number, (path, digest, image) in enumerate(results):
        if isinstance(image, str):
            files.skip(path, image)
        else:
            pixels.append(image)
            decoded.append(path)
            digests.append(digest)
        if progress:
            progress(number + 1, len(files.paths), "read")
    files.paths = decoded
    return pixels.images, digests


def rendered(root: Path, paths: list[str], rendering: Rendering, workers: int) -> Iterable:
    """Yield (path, digest, image (3, R, R)) of each file; a reason instead of an image that is unusable."""
    return in_order(lambda path: attempt(root, path, lambda data: render(data, rendering)), paths, workers)


class PixelFile:
    """Images of one size, written to a file one after the other: room for `count`."""

    def __init__(self, path: Path, count: int, rendering: Rendering):
        self.colour = rendering.colour
        self._pixels = reserved(path, (max(1, count), 3, rendering.resolution, rendering.resolution))
        self._written, self._grey = 0, True

    def append(self, image: np.ndarray) -> None:
        """Add an image (3, R, R)."""
        self._pixels[self._written] = image
        self._written += 1
        self._grey = self._grey and is_grey(image)

    @property
    def images(self) -> np.ndarray:
        """(n, C, R, R): of one channel if that is asked for, or if all are grey and no colour is."""
        grey = self.colour == "grey" or (self.colour == "auto" and self._grey)
        return self._pixels[: self._written, : 1 if grey else 3]


def reserved(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Map a new uint8 file into memory, all space allocated: a full disk would kill the process later."""
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, math.prod(shape))
    return np.memmap(path, np.uint8, "r+", shape=shape)


def choose_resolution(root: Path, files: Files, workers: int) -> int:
    """Return 32 or 64, by the median of the shorter sides."""
    sizes = in_order(lambda path: attempt(root, path, size_of), files.paths, workers)
    sides = [min(size) for _, _, size in sizes if not isinstance(size, str)]
    return 64 if sides and statistics.median(sides) >= 48 else 32


def attempt(root: Path, path: str, do: Callable[[bytes], object]) -> tuple[str, str, object]:
    """Return (path, digest, do(content)); if the file is unusable, the reason replaces the result."""
    try:
        data = read(root / path)
        return path, sha256(data), do(data)
    except BadImage as error:
        return path, "", str(error)
    except OSError:
        return path, "", "cannot be read"


def read(path: Path) -> bytes:
    """Return the content of an image file; raise BadImage if it is too large."""
    if path.stat().st_size > FILE_BYTES:
        raise BadImage(f"larger than {FILE_BYTES // 1_000_000} MB")
    return path.read_bytes()


def in_order(do: Callable[[str], object], items: list[str], workers: int) -> Iterable:
    """Yield the results of `do` in the order of `items`, computed by `workers` threads."""
    with warnings.catch_warnings(), ThreadPoolExecutor(max(1, workers)) as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `header` refuses such images
        for start in range(0, len(items), MAX_PENDING):
            yield from pool.map(do, items[start : start + MAX_PENDING])
