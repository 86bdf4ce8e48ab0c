"""A folder or URL of image files to a Collection: read, brought to one size, bad ones skipped."""

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
from components.data.sources.listing import Found, local_folder, scan
from components.data.sources.names import clean, shown
from components.store import Store

AT_ONCE = 64  # files in flight


@dataclass(frozen=True)
class Request:
    """What the user asked for; see `add`."""

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
        """How many bad files are borne with."""
        return max(10, files // 100) if self.max_skipped is None else self.max_skipped


def identity(source: str | Path) -> str:
    """What tells one source from another, on this machine."""
    if "://" in str(source):
        return Store(str(source)).url
    return str(Path(source).expanduser().resolve())


@contextmanager
def collect(
    source: str | Path, request: Request, scratch: Path, progress: Progress | None = None
) -> Iterator[Collection]:
    """The images below `source`; needs the folder `scratch` while the collection is in use."""
    remove(scratch)
    scratch.mkdir(parents=True)
    try:
        yield gather(source, request, scratch, progress)
    finally:
        remove(scratch)


def gather(source: str | Path, request: Request, scratch: Path, progress: Progress | None) -> Collection:
    """The images below `source` as a Collection whose pixels lie in `scratch`."""
    found = Found()
    root = local_folder(source, scratch / "mirror", found, progress)
    scan(root, found)
    captions_path = caption_file(root, request.captions)
    captions = read_captions(captions_path, root) if captions_path else None
    if captions is not None:
        keep_captioned(found, captions)
    refuse_too_many(found, request, source)
    layout = Layout(found.paths, source, captions is not None)
    images, digests, good = decode(root, found, request, scratch, progress)
    refuse_too_many(found, request, source)
    return Collection(
        about=about(source, request, found),
        images=images,
        groups=digests,
        splits=layout.splits(good, digests),
        captions=None if captions is None else [captions[path] for path in good],
        skipped=found.skipped,
        **layout.classes(good),
    )


def about(source: str | Path, request: Request, found: Found) -> dict[str, Any]:
    """What the card says of the source; a folder by its name only, for its path means nothing elsewhere."""
    place = identity(source)
    name = place if "://" in place else Path(place).name
    options = {"colour": request.colour, "fit": "centre square", "ignored_files": found.ignored}
    return {
        "title": clean(PurePosixPath(name).name),
        "source": clean(name),
        "licence": "not stated",
        "credit": "not stated",
        "background": request.background,
        "options": options,
    }


def keep_captioned(found: Found, captions: dict[str, str]) -> None:
    """Refuse the images that have no caption."""
    for path in found.paths:
        if path not in captions:
            found.skip(path, "no caption")
    found.paths = [path for path in found.paths if path in captions]


def refuse_too_many(found: Found, request: Request, source: str | Path) -> None:
    """Raise if there is nothing to work with, or too much of it is bad."""
    total, bad, place = len(found.paths) + len(found.skipped), len(found.skipped), shown(str(source))
    if total == 0:
        kinds = " ".join(sorted(EXTENSIONS))
        raise InputError(f"{place} holds no images ({found.ignored} other files); accepted: {kinds}")
    if bad > request.limit(total) or not found.paths:
        allowed = f", more than the {request.limit(total)} allowed (max_skipped)" if found.paths else ""
        raise InputError(
            f"{bad} of {total} images in {place} cannot be used{allowed}; such as {examples(found.skipped)}"
        )


def examples(skipped: list[tuple[str, str]]) -> str:
    """One file for each of the first few reasons."""
    first: dict[str, str] = {}
    for path, reason in skipped:
        first.setdefault(reason, path)
    return "; ".join(f"{path}: {reason}" for reason, path in list(first.items())[:3])


def decode(
    root: Path, found: Found, request: Request, scratch: Path, progress: Progress | None
) -> tuple[np.ndarray, list[str], list[str]]:
    """Pixels (N, C, R, R), a digest of each file, and the paths, of those that could be decoded."""
    resolution = request.resolution or choose_resolution(root, found, request.workers)
    how = Rendering(resolution, request.colour, request.background)
    pixels = reserved(scratch / "pixels", (max(1, len(found.paths)), 3, resolution, resolution))
    good: list[str] = []
    digests: list[str] = []
    grey = True
    work = in_order(
        lambda path: attempt(root, path, lambda data: render(data, how)), found.paths, request.workers
    )
    for number, (path, digest, image) in enumerate(work):
        if isinstance(image, str):
            found.skip(path, image)
        else:
            pixels[len(good)] = image
            grey = grey and is_grey(image)
            good.append(path)
            digests.append(digest)
        if progress:
            progress(number + 1, len(found.paths), "read")
    found.paths = good
    channels = 1 if request.colour == "grey" or (request.colour == "auto" and grey) else 3
    return pixels[: len(good), :channels], digests, good


def reserved(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Memory-mapped uint8 with its space taken at once: a disk that fills up later would kill the process."""
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, math.prod(shape))
    return np.memmap(path, np.uint8, "r+", shape=shape)


def choose_resolution(root: Path, found: Found, workers: int) -> int:
    """32 or 64, by the median of the shorter sides."""
    work = in_order(lambda path: attempt(root, path, size_of), found.paths, workers)
    sides = [min(size) for _, _, size in work if not isinstance(size, str)]
    return 64 if sides and statistics.median(sides) >= 48 else 32


def attempt(root: Path, path: str, do: Callable[[bytes], object]) -> tuple[str, str, object]:
    """(path, digest, do(content)), with the reason in place of the result if the file is bad."""
    try:
        data = read(root / path)
        return path, sha256(data), do(data)
    except BadImage as error:
        return path, "", str(error)
    except OSError:
        return path, "", "cannot be read"


def read(path: Path) -> bytes:
    """The content of an image file of sensible size."""
    if path.stat().st_size > FILE_BYTES:
        raise BadImage(f"larger than {FILE_BYTES // 1_000_000} MB")
    return path.read_bytes()


def in_order(do: Callable[[str], object], items: list[str], workers: int) -> Iterable:
    """The results of `do` in the order of `items`, a few computed at a time."""
    with warnings.catch_warnings(), ThreadPoolExecutor(max(1, workers)) as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # we refuse such images ourselves
        for start in range(0, len(items), AT_ONCE):
            yield from pool.map(do, items[start : start + AT_ONCE])
