"""From a source to data/<name>/: the same source gives the same bytes, and a set is whole or not there."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from components.common.atomic import new_folder, remove, settle, sibling
from components.common.errors import InputError, RunError
from components.common.hashing import digest
from components.common.locks import locked
from components.data.card import NAME, SPLITS, DataCard, FileEntry
from components.data.sources import catalogue, splits
from components.data.sources import folder as sources_folder
from components.data.sources.base import Collection, Progress
from components.data.sources.folder import Request, collect
from components.data.versioning import pins

SHARD_BYTES = 64_000_000
LISTED = 100  # skipped files named on the card


def prepare(name: str, home: Path, *, replace: bool = False, progress: Progress | None = None) -> DataCard:
    """Prepare a known data set: mnist5k, digits, emoji, emoji64 or torchvision:<Class>.

    Returns at once if it is there and verifies. Where a version is pinned, the result must be that version,
    unless `replace` asks for a new one.
    """
    home, known = Path(home), catalogue.find(name)
    sweep(home)
    with told(known.name), locked(pins.data_lock(home, known.name)):
        folder = settle(pins.data_folder(home, known.name))
        refuse_other_source(home, known.name, known.source, replace)
        if not replace and (card := intact(home, known.name)):
            return card
        collection = known.collect(home, progress)
        with new_folder(folder) as temporary:
            card = write(collection, known.name, temporary)
            if not replace:
                check_pinned(home, known.name, temporary)
        remember_source(home, known.name, known.source)
        return card


def add(
    name: str,
    source: str | Path,
    home: Path,
    *,
    resolution: int | None = None,  # None: 32 or 64, whichever suits the median image
    colour: str = "auto",  # auto | grey | rgb; auto: grey if every image is
    background: str = "white",  # what transparent images are laid on
    captions: str | Path | None = None,  # None: captions.* or metadata.* in the folder, if any
    max_skipped: int | None = None,  # bad files to bear with; None: 1 % of the files, or 10 if that is more
    replace: bool = False,  # whether a set of that name from another source may be replaced
    workers: int = 2,
    progress: Progress | None = None,
) -> DataCard:
    """Prepare the images of a folder or fsspec URL as data set `name`."""
    home = Path(home)
    if name in catalogue.KNOWN:
        raise InputError(f"{name} is the name of a data set that comes with Atelier: choose another")
    request = Request(resolution, colour, background, captions, max_skipped, workers)
    identity = sources_folder.identity(source)
    sweep(home)
    with told(check_name(name)), locked(pins.data_lock(home, name)):
        folder = settle(pins.data_folder(home, name))
        refuse_other_source(home, name, identity, replace)
        with (
            collect(source, request, sibling(folder, "scratch"), progress) as collection,
            new_folder(folder) as temporary,
        ):
            card = write(collection, name, temporary)
        remember_source(home, name, identity)
        return card


def sweep(home: Path) -> None:
    """Remove what killed processes left beside any data set that nobody is preparing just now."""
    for leftover in sorted((home / "data").glob(".*")):
        name, _, kind = leftover.name[1:].rpartition(".")  # no data set's own name begins with a dot
        if name and kind in ("new", "old", "scratch"):
            with suppress(BlockingIOError), locked(pins.data_lock(home, name), wait=False):
                settle(home / "data" / name)
                remove(sibling(home / "data" / name, "scratch"))


@contextmanager
def told(name: str) -> Iterator[None]:
    """A full disk or a refused permission as one sentence; what was there before is still there."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise RunError(f"data set {name} could not be prepared: {error.strerror or error}{where}") from error


def available(home: Path) -> list[dict[str, Any]]:
    """The known data sets and the prepared ones: name, prepared, title, counts and shape."""
    rows = {
        name: {"name": name, "prepared": False, "title": known.title}
        for name, known in catalogue.KNOWN.items()
    }
    for path in sorted((Path(home) / "data").glob("[!.]*/card.json")):
        rows[path.parent.name] = described(path.parent)
    return list(rows.values())


def described(folder: Path) -> dict[str, Any]:
    """One prepared set, for the list."""
    try:
        card = DataCard.read(folder)
    except RunError as error:
        return {"name": folder.name, "prepared": False, "title": str(error)}
    shown = {"title", "source", "licence", "counts", "resolution", "channels", "captions"}
    return {
        "name": folder.name,
        "prepared": True,
        **card.model_dump(include=shown),
        "classes": card.num_classes,
    }


def check_name(name: str) -> str:
    """`name`, if it can be the name of a data set."""
    if not re.fullmatch(NAME.removesuffix("$"), name):
        raise InputError(
            f"data set name {name!r} will not do: use lower-case letters, digits, '_', '.' and '-'"
        )
    return name


def intact(home: Path, name: str) -> DataCard | None:
    """The card of the prepared set, if every file is as it says and the set is the pinned version, if any."""
    folder = pins.data_folder(home, name)
    try:
        card = DataCard.read(folder)
    except (InputError, RunError):
        return None
    pin = pins.pinned(home, name)
    right = not card.problems(folder) and (pin is None or pins.folder_md5(folder) == pin)
    return card if right else None


def check_pinned(home: Path, name: str, folder: Path) -> None:
    """Raise unless `folder` is exactly the version that the committed .dvc file pins, if it pins one."""
    pin, made = pins.pinned(home, name), pins.folder_md5(folder)
    if pin is None or pin == made:
        return
    changed = pins.changed_files(home, pin, folder)
    which = f"; these differ: {', '.join(changed[:5])}" if changed else ""
    raise RunError(
        f"data set {name} came out as {made}, but {pins.dvc_file(home, name).name} pins {pin}{which}: "
        f"install the locked versions (constraints.txt), or pass --replace to prepare a new version"
    )


def refuse_other_source(home: Path, name: str, source: str, replace: bool) -> None:
    """Raise if a set of this name is there from another source, unless it may be replaced."""
    folder = pins.data_folder(home, name)
    if replace or not folder.exists():
        return
    known = origin(home, name)
    if known is not None and known != source:
        raise InputError(
            f"data set {name} is already there, from {known}: choose another name or pass --replace"
        )


def origin(home: Path, name: str) -> str | None:
    """Where the prepared set came from: as noted on this machine, else as its card says."""
    record = source_record(home, name)
    if record.exists():
        return record.read_text("utf-8").strip()
    try:
        return DataCard.read(pins.data_folder(home, name)).source
    except (InputError, RunError):
        return None


def remember_source(home: Path, name: str, source: str) -> None:
    """Note on this machine only where the set came from: a path has no place on a card."""
    record = source_record(home, name)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(source + "\n", "utf-8", "surrogateescape")


def source_record(home: Path, name: str) -> Path:
    """The file that notes where the set came from."""
    return Path(home) / ".atelier" / "sources" / name


def write(collection: Collection, name: str, folder: Path) -> DataCard:
    """Write the data set into the empty `folder`, its card last."""
    assigned = np.array(
        splits.assign(collection.groups, collection.strata, collection.splits, collection.kept)
    )
    order = mixed(collection.groups)
    rows = {split: order[assigned[order] == split] for split in SPLITS}
    counts = {split: len(index) for split, index in rows.items()}
    splits.check(counts)
    for split, index in rows.items():
        write_split(collection, index, folder / split)
    labels = collection.labels
    card = DataCard(
        name=name,
        **collection.about,
        resolution=collection.images.shape[-1],
        channels=collection.images.shape[1],
        labels=collection.label_names,
        counts=counts,
        label_counts=None
        if labels is None
        else {s: tally(labels[i], len(collection.label_names or [])) for s, i in rows.items()},
        captions=collection.captions is not None,
        skipped=dict(sorted(Counter(reason for _, reason in collection.skipped).items())),
        skipped_files=sorted(collection.skipped)[:LISTED],
        files={
            p: entry(folder / p)
            for p in sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*.*"))
        },
    )
    (folder / "card.json").write_text(card.to_json(), "utf-8")
    return card


def mixed(groups: Sequence[str]) -> np.ndarray:
    """An order by contents that mixes classes: the first n of a split are a fair sample of it."""
    seen: Counter[str] = Counter()
    ranks = []
    for group in groups:
        ranks.append(splits.rank(f"{group} {seen[group]}"))
        seen[group] += 1
    return np.argsort(np.array(ranks), kind="stable")


def write_split(collection: Collection, index: np.ndarray, folder: Path) -> None:
    """Write the images at `index` as one split."""
    folder.mkdir()
    write_shards(collection.images, index, folder, "images")
    if collection.labels is not None:
        save(folder / "labels.npy", collection.labels[index])
    if collection.captions is not None:
        text = json.dumps([collection.captions[i] for i in index], ensure_ascii=False, indent=0)
        (folder / "captions.json").write_text(text + "\n", "utf-8")


def write_shards(images: np.ndarray, index: np.ndarray, folder: Path, stem: str) -> None:
    """Write images[index] in files of at most 64 MB."""
    size = max(1, SHARD_BYTES // images[0].nbytes)
    for number, start in enumerate(range(0, len(index), size)):
        save(folder / f"{stem}-{number:05d}.npy", images[index[start : start + size]])


def save(path: Path, array: np.ndarray) -> None:
    """Write an array: a .npy header holds no time and no name, so equal arrays are equal files."""
    with open(path, "wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)


def tally(labels: np.ndarray, classes: int) -> list[int]:
    """Images per class."""
    return np.bincount(labels, minlength=classes).tolist()


def entry(path: Path) -> FileEntry:
    """What the card says of a file."""
    return FileEntry(sha256=digest(path, "sha256"), bytes=path.stat().st_size)
