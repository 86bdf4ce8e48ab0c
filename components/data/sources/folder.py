"""Read a folder or URL of image files into a Collection: resize the images and skip unusable ones."""

from __future__ import annotations

import math
import os
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np

from components.common.atomic import remove
from components.common.errors import InputError
from components.common.names import clean, displayed, first_of
from components.common.parallel import in_order
from components.data.sources import label_files
from components.data.sources.attempt import attempt
from components.data.sources.base import Collection, Progress
from components.data.sources.caption_files import captions_of
from components.data.sources.decoding import MAX_CHUNK, rendered
from components.data.sources.images import (
    EXTENSIONS,
    BadImage,
    Rendering,
    Summary,
    brightest,
    colour_of,
    is_grey,
    summary,
)
from components.data.sources.label_files import labels_of
from components.data.sources.layout import LAYOUTS, Layout
from components.data.sources.listing import Files, Listing
from components.store import Store

DARK = 64  # of 255: if no pixel is as bright, the files probably do not use the range of their values
FRAMES = ("first", "all")
NAMED = 5  # files, in a note
T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """The options of `add`."""

    resolution: int | None = None
    colour: str = "auto"
    background: str = "white"
    captions: str | Path | None = None
    max_skipped: int | None = None
    workers: int | None = None  # None: as many as there are cores
    layout: str = "auto"  # auto | classes | splits | none: what the top folders are
    frames: str = "first"  # first | all: of files of several pictures
    white: float | str | None = None  # a value, or auto: the largest of all; None: of the type's range
    follow_links: bool = False  # out of the folder

    def __post_init__(self) -> None:
        colour_of(self.background)
        for name, value, allowed in (("layout", self.layout, LAYOUTS), ("frames", self.frames, FRAMES)):
            if value not in allowed:
                raise InputError(f"{name} {value!r} is unknown; known: {', '.join(allowed)}")
        if self.white is not None and not self.is_white:
            raise InputError(f"white {self.white} is not possible; accepted: auto, or a number above 0")
        if self.colour not in ("auto", "grey", "rgb"):
            raise InputError(f"colour {self.colour!r} is unknown; known: auto, grey, rgb")
        if self.resolution is not None and not 8 <= self.resolution <= 1024:
            raise InputError(f"resolution {self.resolution} is not possible; accepted: 8 to 1024")
        if self.max_skipped is not None and self.max_skipped < 0:
            raise InputError(f"max_skipped {self.max_skipped} is not possible; accepted: 0 or more files")

    @property
    def is_white(self) -> bool:
        """Whether `white` is auto or a value that can be white."""
        return self.white == "auto" or isinstance(self.white, float | int) and 0 < self.white < math.inf

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
    labels = labels_of(listing.root, listing.inside, files) if request.layout == "auto" else None
    captions = captions_of(listing.root, files, request.captions) if captioned else None
    if labels is not None:
        keep_labelled(files, labels)
    layout = arranged(listing, request, captions, labelled=labels is not None)
    refuse_too_many(files, request, source)
    request = with_white(listing, request, progress)
    images, digests = decode(listing.root, files, request, scratch, progress)
    refuse_too_many(files, request, source)
    keys = listing.keys(files.paths)
    classes = layout.classes(keys) if labels is None else label_files.classes(labels, files.paths)
    files.notes += notes_on_copies(files.paths, digests, classes.get("labels"))
    return Collection(
        about=about(source, request, files),
        images=images,
        groups=digests,
        splits=layout.splits(keys, digests),
        captions=None if captions is None else [captions[path] for path in files.paths],
        skipped=files.skipped,
        **classes,
    )


def arranged(
    listing: Listing, request: Request, captions: Mapping[str, object] | None, labelled: bool = False
) -> Layout:
    """Return what the folders mean; leave out images of no split, and skip those without captions.

    The folders of images that are `labelled` by a table are no classes.
    """
    files = listing.files

    def layout() -> Layout:
        mode = "none" if labelled else request.layout
        return Layout(listing.keys(files.paths), listing.source, captions is not None, mode)

    whole = layout()
    used = [key not in whole.left_out for key in listing.keys(files.paths)]
    files.paths = [path for path, is_used in zip(files.paths, used, strict=True) if is_used]
    files.left_out.update(whole.left_out.values())
    if listing.inside and (whole.labelled or whole.split_at is not None):
        files.notes.append(f"read inside {displayed(listing.inside)}")
    if whole.note:
        files.notes.append(whole.note)
    if files.archives:
        files.notes.append(f"not read, since they must be unpacked first: {', '.join(files.archives[:3])}")
    if captions is None:
        return whole
    keep_captioned(files, captions)
    return layout()


def about(source: str | Path, request: Request, files: Files) -> dict[str, Any]:
    """Return the card's entries on the source. A local folder is named without its path."""
    address = identity(source)
    name = address if "://" in address else Path(address).name
    options: dict[str, Any] = {
        "colour": request.colour,
        "fit": "centre square",
        "ignored_files": files.ignored,
    }
    chosen = {"layout": request.layout, "frames": request.frames, "white": request.white}
    options |= {key: value for key, value in chosen.items() if value not in ("auto", "first", None)}
    if files.ignored_names:
        options["ignored_names"] = files.ignored_names
    return {
        "title": clean(PurePosixPath(name).name),
        "source": clean(name),
        "licence": "not stated",
        "credit": "not stated",
        "background": request.background,
        "options": options,
        "left_out": dict(sorted(files.left_out.items())),
        "unmatched_captions": files.unmatched_captions,
        "notes": files.notes,
    }


def keep_labelled(files: Files, labels: Mapping[str, int | None]) -> None:
    """Note that classes are those of a table, and skip the images that it does not name."""
    files.notes.append(
        f"classes are those of {label_files.TABLE}, not the folders"
        if any(label is not None for label in labels.values())
        else f"no classes, as {label_files.TABLE} says: the folders are none"
    )
    for path in files.paths:
        if path not in labels:
            files.skip(path, f"no label in {label_files.TABLE}")
    files.paths = [path for path in files.paths if path in labels]


def keep_captioned(files: Files, captions: Mapping[str, object]) -> None:
    """Skip the images without a caption; raise InputError if only images that are not there have one."""
    if files.unmatched_example and not any(path in captions for path in files.paths):
        raise InputError(
            f"the captions are of other images than there are, such as {files.unmatched_example}: names are "
            "relative to the table's folder or to that of the images; --captions none reads no captions"
        )
    for path in files.paths:
        if path not in captions:
            files.skip(path, "no caption")
    files.paths = [path for path in files.paths if path in captions]


def refuse_too_many(files: Files, request: Request, source: str | Path) -> None:
    """Raise InputError if there are no usable images, or too many unusable ones."""
    total, bad, name = len(files.paths) + len(files.skipped), len(files.skipped), displayed(source)
    if total == 0:
        kinds = " ".join(sorted(EXTENSIONS))
        others = files.ignored + files.left_out.total()
        unpack = f"; unpack {files.archives[0]} first" if files.archives else ""
        raise InputError(f"{name} holds no images ({others} other files){unpack}; accepted: {kinds}")
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
    headers = survey(root, files, request, progress)
    resolution = request.resolution or choose_resolution(headers)
    rendering = Rendering(resolution, request.colour, request.background, white=value_of(request.white))
    room = sum(pictures_of(headers, path) if request.frames == "all" else 1 for path in files.paths)
    pixels = PixelFile(scratch / "pixels", room, rendering)
    decoded: list[str] = []
    digests: list[str] = []
    results = rendered(root, files.paths, rendering, request.workers, request.frames, processes=True)
    for number, (path, digest, images) in enumerate(results):
        if isinstance(images, str):
            files.skip(path, images)
        else:
            for image in images:
                pixels.append(image)
            decoded += [path] * len(images)
            digests += [digest] * len(images)
        if progress:
            progress(number + 1, len(files.paths), "read")
    files.paths = decoded
    files.notes += notes_on(headers, request, pixels.brightest)
    return pixels.images, digests


def survey(
    root: Path, files: Files, request: Request, progress: Progress | None = None
) -> dict[str, Summary]:
    """Return what the header of each image says, without those that cannot be read."""

    def look(path: str) -> Summary | None:
        try:
            return summary(root / path)
        except (BadImage, OSError):
            return None

    headers, equal = dict[str, Summary](), dict[Summary, Summary]()  # one object for all that are alike
    for number, header in enumerate(in_order(look, files.paths, request.workers, chunk=MAX_CHUNK)):
        if header is not None:
            headers[files.paths[number]] = equal.setdefault(header, header)
        if progress:
            progress(number + 1, len(files.paths), "headers")
    return headers


def pictures_of(headers: Mapping[str, Summary], path: str) -> int:
    """Return the number of pictures in a file; 1 if its header cannot be read."""
    return headers[path].pictures if path in headers else 1


def value_of(white: float | str | None) -> float | None:
    """Return the value of white that was given or found."""
    assert not isinstance(white, str), "auto becomes a value before images are read"
    return white


def with_white(listing: Listing, request: Request, progress: Progress | None) -> Request:
    """Return the request with a value in place of `white` auto: the largest in all files of more than 8 bits.

    Raises:
        InputError: there are no such files.
    """
    if request.white != "auto":
        return request
    values = []
    paths = listing.files.paths
    look = in_order(lambda path: attempt(listing.root, path, brightest), paths, request.workers)
    for number, (_, _, value) in enumerate(look):
        if isinstance(value, float) and math.isfinite(value):
            values.append(value)
        if progress:
            progress(number + 1, len(paths), "brightness")
    if not values or max(values) <= 0:
        raise InputError(
            f"--white auto: {displayed(listing.source)} has no grey image of more than 8 bits that is not "
            "black; of colours with 16 bits the upper 8 are read"
        )
    return replace(request, white=max(values))


def notes_on(headers: Mapping[str, Summary], request: Request, brightness: int) -> list[str]:
    """Return what a user must know of the files: those of several pictures, and those that come out dark."""
    notes = []
    several = [header.pictures for header in headers.values() if header.pictures > 1]
    if several and request.frames == "first":
        notes.append(
            f"{len(several)} files hold more than one picture, {sum(several)} in all: the first of each is "
            f"read; --frames all reads all"
        )
    if brightness < DARK:
        deep = any(header.deep for header in headers.values()) and request.white is None
        advice = "; pass --white auto, or --white VALUE such as 4095 for 12 bits" if deep else ""
        if any(header.cut for header in headers.values()):
            advice += (
                "; of colours with 16 bits the upper 8 are read, whatever --white says: scale them first"
            )
        notes.append(f"all images are dark: their brightest value is {brightness} of 255{advice}")
    return notes


def notes_on_copies(paths: Sequence[str], digests: Sequence[str], labels: np.ndarray | None) -> list[str]:
    """Return what a user must know of files with the same contents: some may lie in several classes."""
    times = Counter(digests)
    same: dict[str, dict[str, int]] = defaultdict(dict)  # file -> class, by contents that are there twice
    for i, (path, digest) in enumerate(zip(paths, digests, strict=True)):
        if times[digest] > 1:
            same[digest][path] = 0 if labels is None else int(labels[i])
    copies = [files for files in same.values() if len(files) > 1]
    pairs = [f"{displayed(copy)} of {displayed(first)}" for first, *rest in copies for copy in rest]
    torn = [" and ".join(map(displayed, files)) for files in copies if len(set(files.values())) > 1]
    notes = []
    if pairs:
        are = "1 file is a copy" if len(pairs) == 1 else f"{len(pairs)} files are copies"
        notes.append(f"{are}, kept in the same split as the file that they copy: {first_of(pairs, NAMED)}")
    if torn:
        lie = "1 image lies" if len(torn) == 1 else f"{len(torn)} images lie"
        files_of_each = first_of(torn, NAMED)
        notes.append(
            f"{lie} in several classes, kept in each ({files_of_each}): remove all but one file of each"
        )
    return notes


class PixelFile:
    """Images of one size, written to a file one after the other: room for `count`."""

    def __init__(self, path: Path, count: int, rendering: Rendering):
        self.colour = rendering.colour
        self._pixels = reserved(path, (max(1, count), 3, rendering.resolution, rendering.resolution))
        self._written, self._grey = 0, True
        self.brightest = 0

    def append(self, image: np.ndarray) -> None:
        """Add an image (3, R, R)."""
        self._pixels[self._written] = image
        self._written += 1
        self._grey = self._grey and is_grey(image)
        self.brightest = max(self.brightest, int(image.max()))

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


def choose_resolution(headers: Mapping[str, Summary]) -> int:
    """Return 32 or 64, by the median of the shorter sides."""
    sides = [min(header.size) for header in headers.values()]
    return 64 if sides and statistics.median(sides) >= 48 else 32
