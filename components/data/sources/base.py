"""The common result of all sources of data, and files in installed packages."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from components.common.errors import InputError
from components.common.hashing import sha256
from components.data.card import SPLITS

if TYPE_CHECKING:
    from components.data.dataset import ShardedArray

Progress = Callable[[int, int, str], None]  # done, total, activity


@dataclass(frozen=True)
class Collection:
    """The content of a data set, independent of how it is stored."""

    about: dict  # the card's title, source, licence, credit, background and options
    images: np.ndarray | ShardedArray  # uint8 (N, C, H, W)
    groups: Sequence[str]  # (N,) images of a group (copies, variants of a drawing) share a split
    labels: np.ndarray | None = None  # (N,) int64
    label_names: list[str] | None = None
    captions: Sequence[str | list[str]] | None = None  # of each image one, or one and more
    splits: list[str] | None = None  # (N,) of the source, maybe without validation; None: split by content
    always_train: frozenset[str] = frozenset()  # groups that are in the training split in any case
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (file, reason)
    sources: Collection | None = None  # what the images are made from; its images and splits are made use of
    paired: tuple[str, ...] = SPLITS  # splits in which source i belongs to image i
    ordered: bool = False  # the images are in a fair order already, and keep it

    @property
    def strata(self) -> Sequence[int]:
        """The class of each image; all splits have the same proportion of each."""
        return [0] * len(self.images) if self.labels is None else self.labels.tolist()


@dataclass(frozen=True)
class CatalogueEntry:
    """A data set that can be prepared by name."""

    name: str
    title: str
    source: str  # also on its card; distinguishes it from other sets of the same name
    collect: Callable[[Path, Progress | None], Collection]


def contents(images: np.ndarray) -> list[str]:
    """Return a hash of each image's pixels."""
    return [sha256(image.tobytes()) for image in images]


def packaged_csv(package: str, path: str) -> np.ndarray:
    """Read a gzipped table of integers up to 255 from a package, without importing it."""
    return np.loadtxt(packaged(package, path), delimiter=",", dtype=np.float32).astype(np.uint8)


def packaged(package: str, path: str) -> Path:
    """Return the path of a file in an installed package, without importing the package."""
    with suppress(importlib.metadata.PackageNotFoundError):
        file = Path(str(importlib.metadata.distribution(package).locate_file(path)))
        if file.exists():
            return file
    raise InputError(
        f"this data set comes with the package {package}, which is not installed: pip install {package}"
    )
