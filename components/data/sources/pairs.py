"""Read images with sources: pairs matched by name or side by side, or two domains without pairs."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import scipy

from components.common.errors import InputError
from components.common.names import displayed
from components.data.sources import folder
from components.data.sources.base import Collection, Progress, contents
from components.data.sources.decoding import rendered
from components.data.sources.folder import (
    PixelFile,
    Request,
    arranged,
    choose_resolution,
    refuse_too_many,
    survey,
    value_of,
    with_white,
)
from components.data.sources.images import Part, Rendering, Summary
from components.data.sources.layout import domain_of
from components.data.sources.listing import NAMED, Files, Listing, listed

# The parts of a file that are the source and the image.
DIRECTIONS: dict[str, tuple[Part, Part]] = {"AtoB": ("left", "right"), "BtoA": ("right", "left")}
SOURCE_DOMAIN, IMAGE_DOMAIN = "A", "B"
SIMILAR = 1.05  # factor of the proportions of a pair; small images are rounded to whole pixels
MAX_NAMED = 10  # files without a partner that an error names


@dataclass(frozen=True)
class Pairing:
    """The options of `add` for sources."""

    sources: str | Path | None = None
    side_by_side: str | None = None
    unpaired: bool = False
    source_resolution: int | None = None

    def __post_init__(self) -> None:
        if self.side_by_side is not None and self.side_by_side not in DIRECTIONS:
            raise InputError(f"side_by_side {self.side_by_side!r} is unknown; known: {', '.join(DIRECTIONS)}")
        if self.side_by_side and (self.sources is not None or self.unpaired):
            raise InputError(
                "images side by side are pairs in one folder: leave out --sources and --unpaired"
            )
        if self.source_resolution is not None and not 2 <= self.source_resolution <= 1024:
            raise InputError(
                f"source_resolution {self.source_resolution} is not possible; accepted: 2 to 1024"
            )


@dataclass(frozen=True)
class Reading:
    """The options by which files are read, and the folder for their pixels."""

    request: Request
    scratch: Path
    progress: Progress | None


def identity(source: str | Path, pairing: Pairing) -> str:
    """Return a string that identifies where images and sources are from on this machine."""
    images = folder.identity(source)
    return images if pairing.sources is None else f"{images} made from {folder.identity(pairing.sources)}"


def gather(
    source: str | Path, request: Request, pairing: Pairing, scratch: Path, progress: Progress | None
) -> Collection:
    """Read a folder or URL, with sources if it or `pairing` has any; the pixels are files in `scratch`.

    Raises:
        InputError: the images and the sources do not match by name, a domain is empty, or there is no second
            domain although `pairing` asks for one.
    """
    reading = Reading(request, scratch, progress)
    if request.frames == "all" and (pairing.side_by_side or pairing.sources is not None):
        raise InputError("images with sources are the first pictures of their files: leave out --frames all")
    images = listed(source, scratch / "mirror", progress, request.follow_links)
    if pairing.side_by_side:
        refuse_empty(images)
        same = {path: path for path in images.files.paths}
        return read_pairs(images, images, same, pairing, reading)
    if pairing.sources is not None:
        sources = listed(pairing.sources, scratch / "source mirror", progress, request.follow_links)
    elif is_two_domains(images):
        images, sources = domain(images, IMAGE_DOMAIN), domain(images, SOURCE_DOMAIN)
    elif pairing.unpaired or pairing.source_resolution:
        raise InputError(
            f"{displayed(source)} has no sources: pass --sources FOLDER, or give a folder whose only folders "
            f"are trainA, trainB, testA and testB"
        )
    else:
        return folder.gather(images, request, scratch, progress)
    for each in (images, sources):
        refuse_empty(each)
    if pairing.unpaired:
        return two_domains(images, sources, pairing, reading)
    return read_pairs(images, sources, matched(images, sources), pairing, reading)


def is_two_domains(listing: Listing) -> bool:
    """Return whether all images are in trainA, trainB, testA, testB (and valA, valB)."""
    tops = {key.partition("/")[0] for key in listing.keys(listing.files.paths)}
    return bool(tops) and all(domain_of(top) for top in tops)


def domain(listing: Listing, letter: str) -> Listing:
    """Return the images of domain A or B only; all files that are no images count for the images' domain."""

    def within(path: str) -> bool:
        is_source = domain_of(path.removeprefix(listing.inside).partition("/")[0]) == SOURCE_DOMAIN
        return is_source == (letter == SOURCE_DOMAIN)

    files = listing.files
    part = replace(
        files if letter == IMAGE_DOMAIN else Files(),
        paths=[path for path in files.paths if within(path)],
        skipped=[(path, reason) for path, reason in files.skipped if within(path)],
        refused={path for path in files.refused if within(path)},
    )
    return replace(listing, files=part, domain=letter)


def refuse_empty(listing: Listing) -> None:
    """Raise InputError if a domain has no images."""
    name, letter = displayed(listing.source), listing.domain
    if letter and not listing.files.paths:
        raise InputError(
            f"domain {letter} of {name} is empty: put images into train{letter} and test{letter}"
        )
    refuse_too_many(listing.files, Request(max_skipped=len(listing.files.skipped)), listing.source)


def two_domains(images: Listing, sources: Listing, pairing: Pairing, reading: Reading) -> Collection:
    """Read two domains without pairs, each with its own splits and number of images."""
    request = with_resolution(images, reading.request)
    other = replace(request, resolution=pairing.source_resolution or request.resolution)
    (reading.scratch / "sources").mkdir()
    collection = folder.gather(images, request, reading.scratch, reading.progress)
    made_from = folder.gather(sources, other, reading.scratch / "sources", reading.progress, captioned=False)
    return replace(
        collection,
        about=about(images, sources, request, pairing),
        skipped=collection.skipped + made_from.skipped,
        sources=made_from,
        paired=(),
    )


def with_resolution(images: Listing, request: Request) -> Request:
    """Return the request with a resolution."""
    resolution = request.resolution or choose_resolution(survey(images.root, images.files, request))
    return replace(request, resolution=resolution)


def about(images: Listing, sources: Listing, request: Request, pairing: Pairing) -> dict[str, Any]:
    """Return the card's entries on where both are from."""
    entries = folder.about(images.source, request, images.files)
    other = folder.about(sources.source, request, sources.files)
    if pairing.sources is not None:
        entries["source"] += " made from " + other["source"]
    if sources.files is not images.files:
        options, more = entries["options"], other["options"]
        options["ignored_files"] += more["ignored_files"]
        if names := [*options.get("ignored_names", ()), *more.get("ignored_names", ())][:NAMED]:
            options["ignored_names"] = names
        entries["left_out"] = dict(Counter(entries["left_out"]) + Counter(other["left_out"]))
        entries["notes"] = entries["notes"] + [f"sources: {note}" for note in other["notes"]]
    how = "none" if pairing.unpaired else pairing.side_by_side or "by name"
    return entries | {"options": entries["options"] | {"pairs": how}}


def matched(images: Listing, sources: Listing) -> dict[str, str]:
    """Return the source of each image whose name, without its ending, is that of a source.

    Raises:
        InputError: an image or a source has no partner, or two.
    """
    image_of, source_of = by_name(images), by_name(sources)
    unusable = [
        set(names(listing, [path for path, _ in listing.files.skipped])) for listing in (images, sources)
    ]
    alone = sorted(image_of.keys() - source_of.keys() - unusable[1])
    bare = sorted(source_of.keys() - image_of.keys() - unusable[0])
    if alone or bare:
        raise InputError(
            f"the pairs do not match by name: {counted(alone, 'image')} without a source{first(alone)}, and "
            f"{counted(bare, 'source')} without an image{first(bare)}; rename the files, or pass --unpaired "
            f"if they are no pairs"
        )
    images.files.skipped += sources.files.skipped
    return {image_of[name]: source_of[name] for name in sorted(image_of.keys() & source_of.keys())}


def by_name(listing: Listing) -> dict[str, str]:
    """Return the path of each name; raise InputError if two files have the same."""
    paths: dict[str, str] = {}
    for name, path in zip(names(listing, listing.files.paths), listing.files.paths, strict=True):
        if name in paths:
            raise InputError(
                f"{displayed(listing.source)} has two images of the name {displayed(name)} "
                f"({displayed(paths[name])} and {displayed(path)}): pairs are matched by name, so remove one"
            )
        paths[name] = path
    return paths


def names(listing: Listing, paths: Sequence[str]) -> list[str]:
    """Return the names by which pairs are matched: paths without the domain and the ending.

    Accented letters are composed, since some systems store them as a letter and an accent.
    """
    bare = [PurePosixPath(key).with_suffix("").as_posix() for key in listing.keys(paths)]
    return [unicodedata.normalize("NFC", name) for name in bare]


def counted(items: Sequence[str], noun: str) -> str:
    """Return such as "2 images"."""
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def first(items: Sequence[str]) -> str:
    """Return the first ten names in brackets; nothing if there are none."""
    more = ", ..." if len(items) > MAX_NAMED else ""
    return f" ({', '.join(map(displayed, items[:MAX_NAMED]))}{more})" if items else ""


def read_pairs(
    images: Listing,
    sources: Listing,
    source_of: Mapping[str, str],
    pairing: Pairing,
    reading: Reading,
) -> Collection:
    """Read images and the source of each; a pair of which one cannot be read is skipped.

    Pairs that share an image or a source are a group, so that no split has a copy of another's.
    """
    files, request = images.files, reading.request
    separate = sources.files is not files
    unaccounted = len(files.paths) + len(sources.files.paths) + unused(files)
    files.paths = list(source_of)
    captions = folder.captions_of(images.root, files, request.captions)
    layout = arranged(images, request, captions)
    refuse_too_many(files, request, images.source)
    reading = replace(reading, request=with_white(images, request, reading.progress))
    pixels, source_pixels = decode_pairs(images, sources, source_of, pairing, reading)
    refuse_too_many(files, request, images.source)
    if separate and (partners := unaccounted - 2 * len(files.paths) - unused(files)):
        files.left_out["partner of a file that is not used"] += partners
    groups, keys = joined(contents(pixels), contents(source_pixels)), images.keys(files.paths)
    return Collection(
        about=about(images, sources, reading.request, pairing),
        images=pixels,
        groups=groups,
        splits=layout.splits(keys, groups),
        captions=None if captions is None else [captions[path] for path in files.paths],
        skipped=files.skipped,
        sources=Collection({}, source_pixels, groups),
        **layout.classes(keys),
    )


def unused(files: Files) -> int:
    """Return the number of files that were skipped or left out so far."""
    return len(files.skipped) + files.left_out.total()


def decode_pairs(
    images: Listing,
    sources: Listing,
    source_of: Mapping[str, str],
    pairing: Pairing,
    reading: Reading,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of images and sources, in pairs; skip and remove the paths of the other pairs."""
    request, files = with_resolution(images, reading.request), images.files
    source_part, image_part = DIRECTIONS.get(pairing.side_by_side or "", ("whole", "whole"))
    rendering = Rendering(
        request.resolution or 0, request.colour, request.background, image_part, value_of(request.white)
    )
    small = replace(rendering, resolution=pairing.source_resolution or rendering.resolution, part=source_part)
    pixels = PixelFile(reading.scratch / "pixels", len(files.paths), rendering)
    source_pixels = PixelFile(reading.scratch / "source pixels", len(files.paths), small)
    source_paths = [source_of[path] for path in files.paths]
    in_two_files = sources.files is not files
    image_sizes = survey(images.root, files, request) if in_two_files else {}
    source_sizes = survey(sources.root, sources.files, request) if in_two_files else {}
    both = zip(
        rendered(images.root, files.paths, rendering, request.workers),
        rendered(sources.root, source_paths, small, request.workers),
        strict=True,
    )
    decoded = []
    for number, ((path, _, image), (source_path, _, source)) in enumerate(both):
        if isinstance(image, str):
            files.skip(path, image)
        elif isinstance(source, str):
            files.skip(source_path, source)
        elif not are_similar(image_sizes.get(path), source_sizes.get(source_path)):
            files.skip(path, "its source has other proportions, so their centre squares do not match")
        else:
            pixels.append(image[0])
            source_pixels.append(source[0])
            decoded.append(path)
        if reading.progress:
            reading.progress(number + 1, len(files.paths), "read")
    files.paths = decoded
    return pixels.images, source_pixels.images


def are_similar(image: Summary | None, source: Summary | None) -> bool:
    """Return whether two images have the same proportions, as far as their headers say."""
    if image is None or source is None:
        return True
    ratio = image.size[0] * source.size[1] / (image.size[1] * source.size[0])
    return 1 / SIMILAR < ratio < SIMILAR


def joined(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """Return the group of each pair: pairs that share an item of `one` or of `other` are in one group."""
    _, first_index = np.unique(one, return_inverse=True)
    _, second_index = np.unique(other, return_inverse=True)
    nodes = len(first_index) * 2
    links = scipy.sparse.coo_array(
        (np.ones(len(one), np.int8), (first_index, len(one) + second_index)), shape=(nodes, nodes)
    )
    component = scipy.sparse.csgraph.connected_components(links, directed=False)[1][first_index]
    smallest: dict[int, str] = {}
    for number, name in zip(component.tolist(), one, strict=True):
        smallest[number] = min(name, smallest.get(number, name))
    return [smallest[number] for number in component.tolist()]
