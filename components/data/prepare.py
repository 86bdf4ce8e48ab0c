"""From a source to data/<name>/: the same source always gives the same bytes, and a set is there whole or not at all."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components import versioning
from components.data import folders, sources, splits
from components.data.card import NAME, SPLITS, DataCard, FileEntry, digest
from components.data.sources import Collection, Progress
from components.data.whole import locked, new_folder, recover, sibling
from components.errors import InputError, RunError

SHARD_BYTES = 64_000_000


def prepare(name: str, home: Path, *, replace: bool = False, progress: Progress | None = None) -> DataCard:
    """Prepare a known data set: mnist5k, digits, emoji, emoji64 or torchvision:<Class>.

    Returns at once if it is prepared and its files verify. Where a version is pinned, the result must be that version,
    unless `replace` asks for a new one.
    """
    home, known = Path(home), sources.find(name)
    with locked(lock_path(home, known.name)):
        folder = folder_of(home, known.name)
        recover(folder)
        if not replace and (card := intact(folder)):
            return card
        refuse_other_source(home, known.name, name, replace)
        collection = known.collect(home, progress)
        with new_folder(folder) as temporary:
            card = write(collection, known.name, temporary)
            if not replace:
                check_pinned(home, known.name, temporary)
        remember_source(home, known.name, name)
        return card


def add(
    name: str,
    source: str | Path,
    home: Path,
    *,
    resolution: int | None = None,  # None: 32 or 64, whichever suits the median image
    colour: str = "auto",  # auto | grey | rgb; auto: grey if every image is
    background: str = "white",  # what transparent images are laid on
    captions: str | Path | None = None,  # a captions file; None: captions.* or metadata.jsonl in the folder, if any
    max_skipped: int | None = None,  # bad files to bear with; None: 1 % of the files, or 10 if that is more
    replace: bool = False,  # whether a set of that name from another source may be replaced
    workers: int = 2,
    progress: Progress | None = None,
) -> DataCard:
    """Prepare the images of a folder or fsspec URL as data set `name`."""
    home = Path(home)
    check_name(name)
    request = folders.Request(resolution, colour, background, captions, max_skipped, workers)
    with locked(lock_path(home, name)):
        folder = folder_of(home, name)
        recover(folder)
        identity = folders.identity(source)
        refuse_other_source(home, name, identity, replace)
        with folders.collect(source, request, sibling(folder, "scratch"), progress) as collection, new_folder(folder) as new:
            card = write(collection, name, new)
        remember_source(home, name, identity)
        return card


def available(home: Path) -> list[dict[str, Any]]:
    """The known data sets and the prepared ones: name, prepared, title, counts and shape."""
    rows = {known.name: {"name": known.name, "prepared": False, "title": known.title} for known in sources.KNOWN.values()}
    for path in sorted((Path(home) / "data").glob("[!.]*/card.json")):
        card = DataCard.read(path.parent)
        rows[path.parent.name] = {
            "name": path.parent.name,
            "prepared": True,
            **card.model_dump(include={"title", "source", "licence", "counts", "resolution", "channels", "captions"}),
            "classes": card.num_classes,
        }
    return list(rows.values())


def folder_of(home: Path, name: str) -> Path:
    """Where the prepared set `name` is."""
    check_name(name)
    return Path(home) / "data" / name


def check_name(name: str) -> None:
    """Raise unless `name` can be the name of a data set."""
    if not re.fullmatch(NAME, name):
        raise InputError(f"data set name {name!r} will not do: use lower-case letters, digits, '_', '.' and '-'")


def intact(folder: Path) -> DataCard | None:
    """The card of the set in `folder`, if there is one and every file is as it says."""
    if not (folder / "card.json").exists():
        return None
    try:
        card = DataCard.read(folder)
    except RunError:
        return None
    return None if card.problems(folder) else card


def check_pinned(home: Path, name: str, folder: Path) -> None:
    """Raise unless `folder` is exactly the version that the committed DVC file pins, if it pins one."""
    pinned, made = versioning.pinned(home, name), versioning.folder_md5(folder)
    if pinned is None or pinned == made:
        return
    changed = versioning.changed_files(home, pinned, folder)
    which = f"these files differ: {', '.join(changed[:5])}" if changed else "which files differ cannot be told here"
    raise RunError(
        f"data set {name} came out as {made}, but {versioning.dvc_file(home, name).name} pins {pinned} ({which}): install the "
        f"locked versions (constraints.txt), or pass --replace to prepare a new version"
    )


def refuse_other_source(home: Path, name: str, identity: str, replace: bool) -> None:
    """Raise if a set of this name is there from another source, unless it may be replaced."""
    record = source_record(home, name)
    if replace or not folder_of(home, name).exists():
        return
    known = record.read_text("utf-8").strip() if record.exists() else "an unknown source"
    if known != identity:
        raise InputError(f"data set {name} is already there, from {known}: choose another name or pass --replace")


def remember_source(home: Path, name: str, identity: str) -> None:
    """Note on this machine only where the set came from: a path has no place on a card."""
    record = source_record(home, name)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(identity + "\n", "utf-8")


def source_record(home: Path, name: str) -> Path:
    """The file that notes where the set came from."""
    return Path(home) / ".atelier" / "sources" / name


def lock_path(home: Path, name: str) -> Path:
    """The lock of whoever prepares `name`."""
    check_name(name)
    return Path(home) / ".atelier" / "locks" / f"prepare-{name}"


def write(collection: Collection, name: str, folder: Path) -> DataCard:
    """Write the data set into the empty `folder`, its card last."""
    assigned = np.array(collection.splits or splits.assign(collection.groups, collection.strata))
    rows = {split: np.flatnonzero(assigned == split) for split in SPLITS}
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
        label_counts=None if labels is None else {s: tally(labels[i], collection.label_names) for s, i in rows.items()},
        captions=collection.captions is not None,
        skipped=dict(sorted(Counter(reason for _, reason in collection.skipped).items())),
        skipped_files=sorted(collection.skipped)[:100],
        files={p: entry(folder / p) for p in sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*.*"))},
    )
    (folder / "card.json").write_text(card.to_json(), "utf-8")
    return card


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


def tally(labels: np.ndarray, names: Sequence[str]) -> list[int]:
    """Images per class."""
    return np.bincount(labels, minlength=len(names)).tolist()


def entry(path: Path) -> FileEntry:
    """What the card says of a file."""
    return FileEntry(sha256=digest(path, "sha256"), bytes=path.stat().st_size)
