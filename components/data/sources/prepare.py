"""Prepare data sets in data/<name>/, atomically and reproducibly: the same source gives the same bytes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from dataclasses import replace as replaced
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.common.atomic import new_folder, remove, replacing, settle, sibling
from components.common.errors import NOT_ALLOWED, InputError, RunError
from components.common.hashing import digest
from components.common.locks import locked
from components.common.names import displayed
from components.common.validation import checked_name
from components.data.card import SPLITS, DatasetCard, FileEntry, Sources
from components.data.sources import catalogue, pairs, splits
from components.data.sources.base import Collection, Progress
from components.data.sources.folder import Request, scratch_folder
from components.data.sources.folder import identity as identity_of
from components.data.sources.pairs import Pairing
from components.data.versioning import pins

if TYPE_CHECKING:
    from components.data.dataset import ShardedArray

SHARD_BYTES = 64_000_000
COPIED_BYTES = 4_000_000  # of a shard, at once
MAX_LISTED = 100  # skipped files on the card


def prepare(name: str, home: Path, *, replace: bool = False, progress: Progress | None = None) -> DatasetCard:
    """Prepare a known data set: one of the catalogue or torchvision:<Class>.

    Does nothing if the set exists and is intact. If a version is pinned, the result must be that version,
    unless `replace` is set.
    """
    home, entry = Path(home), catalogue.find(name)
    name, source = entry.name, entry.source
    sweep(home)
    with explained(name), locked(pins.data_lock(home, name)):
        folder = settle(pins.data_folder(home, name))
        refuse_other_source(home, name, source, replace)
        if not replace and (card := intact(home, name)):
            return card
        collection = entry.collect(home, progress)
        with new_folder(folder) as temporary:
            card = write(collection, name, temporary)
            if not replace:
                check_pinned(home, name, temporary)
        remember_source(home, name, source)
        return card


def add(
    name: str,
    source: str | Path,
    home: Path,
    *,
    resolution: int | None = None,  # None: 32 or 64, by the median size
    colour: str = "auto",  # auto | grey | rgb; auto: grey if all images are grey
    background: str = "white",  # behind transparent pixels
    captions: str | Path | None = None,  # None: captions.* or metadata.* in the folder, if any
    max_skipped: int | None = None,  # unusable files to tolerate; None: 1 % of the files, at least 10
    replace: bool = False,  # replace a set of this name from another source
    workers: int | None = None,  # None: as many as there are cores
    sources: str | Path | None = None,  # a second folder: what the images are made from
    side_by_side: str | None = None,  # AtoB | BtoA: each file is two images, A on the left; B is made from A
    unpaired: bool = False,  # the two domains have no pairs
    source_resolution: int | None = None,  # None: that of the images
    layout: str = "auto",  # auto | classes | splits | none: what the top folders are
    frames: str = "first",  # first | all: pictures of a file with several
    white: float | str | None = None,  # a value, or auto: the largest of all; of files of more than 8 bits
    follow_links: bool = False,  # out of the folder
    licence: str | None = None,  # of the images, for the cards of data and models; None: not stated
    credit: str | None = None,  # to be given in what is published
    progress: Progress | None = None,
) -> DatasetCard:
    """Prepare the images of a folder or fsspec URL, or pairs, or two domains, as data set `name`."""
    home = Path(home)
    check_new(name)
    request = Request(
        resolution, colour, background, captions, max_skipped, workers, layout, frames, white, follow_links
    )
    pairing = Pairing(sources, side_by_side, unpaired, source_resolution)
    identity = pairs.identity(source, pairing)
    sweep(home)
    with explained(name), locked(pins.data_lock(home, name)):
        folder = settle(pins.data_folder(home, name))
        refuse_other_source(home, name, identity, replace)
        with scratch_folder(sibling(folder, "scratch")) as scratch, new_folder(folder) as temporary:
            collection = pairs.gather(source, request, pairing, scratch, progress)
            stated = {key: text for key, text in (("licence", licence), ("credit", credit)) if text}
            card = write(replaced(collection, about=collection.about | stated), name, temporary)
        remember_source(home, name, identity)
        remember_addition(home, name, source, {**asdict(request), **asdict(pairing), **stated})
        return card


def discard(name: str, home: Path) -> int:
    """Remove a prepared data set; return its bytes. Versions that runs used stay in DVC's cache.

    Its pin goes too, but not that of a known set, which is then prepared again when it is needed.

    Raises:
        InputError: there is no such data set.
    """
    refuse_name(name)
    folder, pin = pins.data_folder(home, name), pins.dvc_file(home, name)
    with explained(name, "removed"), locked(pins.data_lock(home, name)):
        if not (folder.exists() or pin.exists()):
            raise InputError(f"there is no data set {name!r} to remove; `atelier data list` lists them")
        taken = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        for path in (source_record(home, name), *([] if name in catalogue.KNOWN else [pin])):
            path.unlink(missing_ok=True)
        remove(folder)
    return taken


def sweep(home: Path) -> None:
    """Remove the temporary folders of killed processes, except of data sets that are being prepared."""
    for leftover in sorted((home / "data").glob(".*")):
        name, _, kind = leftover.name[1:].rpartition(".")  # names of data sets do not begin with a dot
        if name and kind in ("new", "old", "scratch"):
            with suppress(BlockingIOError), locked(pins.data_lock(home, name), wait=False):
                settle(home / "data" / name)
                remove(sibling(home / "data" / name, "scratch"))


@contextmanager
def explained(name: str, done: str = "prepared") -> Iterator[None]:
    """Raise RunError with one sentence for an OSError, such as a full disk."""
    try:
        yield
    except OSError as error:
        path = f" ({error.filename})" if error.filename else ""
        kind = InputError if error.errno in NOT_ALLOWED else RunError
        raise kind(f"data set {name} could not be {done}: {error.strerror or error}{path}") from error


def available(home: Path) -> list[Mapping[str, Any]]:
    """Return the known and the prepared data sets: name, prepared, title, counts and shape."""
    rows: dict[str, Mapping[str, Any]] = {
        name: {"name": name, "prepared": False, "title": entry.title}
        for name, entry in catalogue.KNOWN.items()
    }
    for path in sorted((Path(home) / "data").glob("[!.]*/card.json")):
        rows[path.parent.name] = described(path.parent)
    return list(rows.values())


def described(folder: Path) -> Mapping[str, Any]:
    """Return the row of a prepared set for `available`."""
    try:
        card = DatasetCard.read(folder)
    except RunError as error:
        return {"name": folder.name, "prepared": False, "title": str(error)}
    fields = {"title", "source", "licence", "counts", "resolution", "channels", "captions", "sources"}
    row = card.model_dump(include=fields)
    return {"name": folder.name, "prepared": True, **row, "classes": card.num_classes}


def check_new(name: str) -> None:
    """Raise InputError if `name` cannot be the name of a new data set."""
    if name in catalogue.KNOWN:
        raise InputError(f"{name} is the name of a data set that comes with Atelier: choose another name")
    refuse_name(name)


def refuse_name(name: str) -> None:
    """Raise InputError if `name` cannot be the name of a data set."""
    try:
        checked_name(name)
    except ValueError as error:
        raise InputError(f"data set name {name!r} is not accepted: {error}") from None


def intact(home: Path, name: str) -> DatasetCard | None:
    """Return the card of the prepared set if its files are unchanged and no other version is pinned."""
    folder = pins.data_folder(home, name)
    try:
        card = DatasetCard.read(folder)
    except (InputError, RunError):
        return None
    pin = pins.pinned(home, name)
    valid = not card.problems(folder) and (pin is None or pins.folder_md5(folder) == pin)
    return card if valid else None


def check_pinned(home: Path, name: str, folder: Path) -> None:
    """Raise RunError if the .dvc file pins another version than that of `folder`."""
    pin, version = pins.pinned(home, name), pins.folder_md5(folder)
    if pin is None or pin == version:
        return
    changed = pins.changed_files(home, pin, folder)
    files = f"; these files differ: {', '.join(changed[:5])}" if changed else ""
    raise RunError(
        f"data set {name} has version {version}, but {pins.dvc_file(home, name).name} pins {pin}{files}: "
        f"install the locked versions (requirements/run.txt), or pass --replace to prepare a new version"
    )


def refuse_other_source(home: Path, name: str, source: str, replace: bool) -> None:
    """Raise InputError if a set of this name exists from another source, unless `replace` is set."""
    folder = pins.data_folder(home, name)
    if replace or not folder.exists():
        return
    existing = origin(home, name)
    if existing is not None and existing != source:
        raise InputError(
            f"data set {name} already exists, from {displayed(existing)}: choose another name or pass "
            f"--replace"
        )


def origin(home: Path, name: str) -> str | None:
    """Return the source of the prepared set, as noted on this machine, else from its card."""
    record = source_record(home, name)
    if record.exists():
        return record.read_bytes().decode("utf-8", "surrogateescape").removesuffix("\n")
    try:
        return DatasetCard.read(pins.data_folder(home, name)).source
    except (InputError, RunError):
        return None


def remember_source(home: Path, name: str, source: str) -> None:
    """Note the source of a set on this machine; a card contains no paths."""
    record = source_record(home, name)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_bytes(f"{source}\n".encode("utf-8", "surrogateescape"))


def remember_addition(home: Path, name: str, source: str | Path, options: Mapping[str, Any]) -> None:
    """Note on this machine how a set was added, for `refresh`: paths absolute, URLs as they are."""
    places = {"source": source, "sources": options["sources"], "captions": options["captions"]}
    identities = {key: None if place is None else identity_of(place) for key, place in places.items()}
    record = addition_record(home, name)
    record.parent.mkdir(parents=True, exist_ok=True)
    with replacing(record) as new:
        new.write_text(json.dumps({"options": {**options, **identities}}), "utf-8")


def addition_record(home: Path, name: str) -> Path:
    """Return the file with the options that a set was added with."""
    return Path(home) / ".atelier" / "additions" / name


def source_record(home: Path, name: str) -> Path:
    """Return the file with the source of a set."""
    return Path(home) / ".atelier" / "sources" / name


def write(collection: Collection, name: str, folder: Path) -> DatasetCard:
    """Write the data set into the empty `folder`, its card last."""
    rows = ordered(collection)
    for split, index in rows.items():
        write_split(collection, index, folder / split)
    labels = collection.labels
    card = DatasetCard(
        name=name,
        **collection.about,
        resolution=collection.images.shape[-1],
        channels=collection.images.shape[1],
        labels=collection.label_names,
        counts=counts_of(rows),
        label_counts=None
        if labels is None
        else {s: tally(labels[i], len(collection.label_names or [])) for s, i in rows.items()},
        captions=collection.captions is not None,
        sources=write_sources(collection, rows, folder),
        skipped=dict(sorted(Counter(reason for _, reason in collection.skipped).items())),
        skipped_files=sorted(collection.skipped)[:MAX_LISTED],
        files={
            p: entry(folder / p)
            for p in sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*.*"))
        },
    )
    (folder / "card.json").write_text(card.to_json(), "utf-8")
    return card


def ordered(collection: Collection) -> dict[str, np.ndarray]:
    """Return the rows of each split, in the order of storage; raise InputError if a split is empty."""
    assigned = splits.assign(collection.groups, collection.strata, collection.splits, collection.always_train)
    numbers = np.fromiter(map(SPLITS.index, assigned), np.int8, len(assigned))
    order = np.arange(len(numbers)) if collection.ordered else mixed(collection.groups)
    rows = {split: order[numbers[order] == number] for number, split in enumerate(SPLITS)}
    splits.check(counts_of(rows))
    return rows


def counts_of(rows: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Return the number of rows of each split."""
    return {split: len(index) for split, index in rows.items()}


def write_sources(collection: Collection, rows: Mapping[str, np.ndarray], folder: Path) -> Sources | None:
    """Write the sources, if there are any, pairs in the order of the images; return the card's entry."""
    sources, paired = collection.sources, collection.paired
    if sources is None:
        return None
    rows = rows if set(SPLITS) <= set(paired) else ordered(sources)
    for split, index in rows.items():
        write_shards(sources.images, index, folder / split, "sources")
    _, channels, _, resolution = sources.images.shape
    return Sources(resolution=resolution, channels=channels, counts=counts_of(rows), paired=paired)


def mixed(groups: Sequence[str]) -> np.ndarray:
    """Return a pseudo-random order by contents, so that the first n of a split are a fair sample of it."""
    return splits.ranked(numbered(groups))


def numbered(groups: Sequence[str]) -> Iterator[str]:
    """Yield for each image its group and how many of that came before it."""
    counts: Counter[str] = Counter()
    for group in groups:
        yield f"{group} {counts[group]}"
        counts[group] += 1


def write_split(collection: Collection, index: np.ndarray, folder: Path) -> None:
    """Write the images at `index` as one split."""
    folder.mkdir()
    write_shards(collection.images, index, folder, "images")
    if collection.labels is not None:
        save(folder / "labels.npy", collection.labels[index])
    if collection.captions is not None:
        write_captions(collection.captions, index, folder)


def write_captions(captions: Sequence[str | list[str]], index: np.ndarray, folder: Path) -> None:
    """Write the captions at `index`: a text of each image, or a list if any image of the set has several."""
    lists = [[each] if isinstance(each, str) else each for each in captions]
    several = any(len(each) > 1 for each in lists)
    text = json.dumps([lists[i] if several else lists[i][0] for i in index], ensure_ascii=False, indent=0)
    (folder / "captions.json").write_text(text + "\n", "utf-8")


def write_shards(images: np.ndarray | ShardedArray, index: np.ndarray, folder: Path, stem: str) -> None:
    """Write images[index] to files of at most 64 MB."""
    size = max(1, SHARD_BYTES // images[0].nbytes)
    for number, start in enumerate(range(0, len(index), size)):
        save_rows(folder / f"{stem}-{number:05d}.npy", images, index[start : start + size])


def save_rows(path: Path, images: np.ndarray | ShardedArray, index: np.ndarray) -> None:
    """Write images[index] as `save` would, with few of them in memory at once."""
    image = images[0]
    header = {"descr": image.dtype.str, "fortran_order": False, "shape": (len(index), *image.shape)}
    step = max(1, COPIED_BYTES // image.nbytes)
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(index), step):
            file.write(images[index[start : start + step]].tobytes())


def save(path: Path, array: np.ndarray) -> None:
    """Write an array as .npy, whose header has no time or name, so that equal arrays are equal files."""
    with open(path, "wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)


def tally(labels: np.ndarray, classes: int) -> list[int]:
    """Count the images per class."""
    return np.bincount(labels, minlength=classes).tolist()


def entry(path: Path) -> FileEntry:
    """Return the card's entry for a file."""
    return FileEntry(sha256=digest(path, "sha256"), bytes=path.stat().st_size)
