"""Read a synthetic data set with classes, as `atelier sample` and others write them."""

from __future__ import annotations

import csv
import io
import re
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from components.common.errors import InputError, sentence
from components.data.card import DatasetCard
from components.data.dataset import ShardedArray, Split
from components.data.external import read, scan_images
from components.store import Store

TABLES = ("labels.csv", "metadata.csv")
ACCEPTED = (
    "accepted: a folder with labels.csv (file_name, label) or a folder for each class in it, an npz of arr_0 "
    "(N, H, W, C) and arr_1 (N,), or NAME.tar for the shards NAME-*.tar of WebDataset with .png and .cls"
)


def read_synthetic(source: str, card: DatasetCard, most: int) -> Split:
    """Return at most `most` images with their classes, uint8, in the shape of a data set.

    Args:
        source: a folder, an npz or NAME.tar, or a URL of one.
        card: of the data set, whose numbers of classes are those of the images.
        most: images that are read, the first ones.

    Raises:
        InputError: there are no images, they have no classes or others than the data set, or another shape.
    """
    ending = source.rpartition(".")[2].lower()
    with TemporaryDirectory(prefix="atelier-synthetic-") as scratch:
        if ending == "npz":
            images, labels = _npz(_local(source, Path(scratch)), source, most)
        elif ending == "tar":
            images, labels = _shards(source, most)
        else:
            images, labels = _folder(source, card, most, Path(scratch))
    if images.shape[1:] != card.card.shape:
        shapes = [" x ".join(map(str, shape)) for shape in (images.shape[1:], card.card.shape)]
        raise InputError(f"{source}: its images are {shapes[0]}, and those of {card.name} {shapes[1]}")
    if len(unknown := np.setdiff1d(labels, np.arange(card.num_classes))):
        raise InputError(
            f"{source}: {card.name} has the classes 0 to {card.num_classes - 1}, and there is a {unknown[0]}"
        )
    return Split(ShardedArray([images]), labels)


def _local(source: str, scratch: Path) -> Path:
    """Return a file of this machine with the contents of a file or URL."""
    folder, _, name = source.rpartition("/")
    place = Store(folder or ".")
    try:
        if place.is_local and place.exists(name):
            return Path(place.path(name))
        place.download(name, scratch / name)
    except FileNotFoundError:
        raise InputError(f"{source} does not exist") from None
    return scratch / name


def _npz(file: Path, source: str, most: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            images, labels = arrays["arr_0"][:most], arrays["arr_1"][:most]
    except FileNotFoundError:
        raise InputError(f"{source} does not exist") from None
    except KeyError:
        raise InputError(f"{source} has no arr_0 and arr_1, images and classes; {ACCEPTED}") from None
    except Exception as error:  # NumPy and zipfile raise various errors for damaged files
        raise InputError(f"{source} cannot be read ({sentence(error)})") from None
    numbers = np.issubdtype(labels.dtype, np.integer) and labels.ndim == 1
    if images.ndim != 4 or images.dtype != np.uint8 or not numbers or not len(images) == len(labels) > 0:
        raise InputError(f"{source}: arr_0 and arr_1 are not images and their classes; {ACCEPTED}")
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels.astype(np.int64)


def _shards(source: str, most: int) -> tuple[np.ndarray, np.ndarray]:
    folder, _, name = source.rpartition("/")
    place, stem = Store(folder or "."), name.rpartition(".")[0]
    pattern = re.compile(rf"{re.escape(stem)}(-\d+)?\.tar")
    shards = [file for file in place.list() if pattern.fullmatch(file)]
    images, labels = list[np.ndarray](), list[int]()
    for shard in shards:
        for pixels, label in _members(place.read_bytes(shard), f"{place.url}/{shard}"):
            images.append(pixels)
            labels.append(label)
        if len(images) >= most:
            break
    if not images:
        raise InputError(f"{source}: there are no shards {stem}-*.tar with images; {ACCEPTED}")
    if len({image.shape for image in images}) > 1:
        raise InputError(f"{source}: its images differ in their shapes")
    return np.stack(images[:most]), np.array(labels[:most], np.int64)


def _members(content: bytes, shard: str) -> Iterator[tuple[np.ndarray, int]]:
    """Yield images, uint8 (C, H, W), and classes of a shard."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            files = {entry.name: tar.extractfile(entry) for entry in tar if entry.isfile()}
            read = {name: file.read() for name, file in files.items() if file is not None}
        for name in read:
            if name.endswith(".png"):
                yield _pixels(read[name]), int(read[f"{name[:-4]}.cls"])
    except KeyError as error:
        raise InputError(f"{shard} has no {error.args[0]}: its images need classes; {ACCEPTED}") from None
    except (tarfile.TarError, OSError, ValueError) as error:
        raise InputError(f"{shard} cannot be read ({error})") from None


def _pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        pixels = np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _folder(source: str, card: DatasetCard, most: int, scratch: Path) -> tuple[np.ndarray, np.ndarray]:
    outside = scan_images(source, card, scratch)
    if outside.skipped:  # a program has drawn the set, so it is not whole
        raise InputError(f"{source} cannot be used as it is: {outside.notice}; draw it again")
    labels = outside.labels
    if labels is None:
        by_name = _table(outside.root)
        missing = next((path for path in outside.paths if path not in by_name), None)
        if missing is not None:
            raise InputError(f"{source}: {missing} has no class; {ACCEPTED}")
        labels = np.array([by_name[path] for path in outside.paths], np.int64)
    rows = range(min(most, len(labels)))
    return read(replace(outside, labels=labels), rows, card), labels[: len(rows)]


def _table(folder: Path) -> dict[str, int]:
    """Return the class of each file in the table of a folder; none without a table."""
    for name in TABLES:
        try:
            with open(folder / name, encoding="utf-8", newline="") as file:
                return {row["file_name"]: int(row["label"]) for row in csv.DictReader(file)}
        except FileNotFoundError:
            continue
        except (KeyError, ValueError, TypeError, csv.Error):
            raise InputError(f"{folder / name} has no columns file_name and label") from None
    return {}
