"""Collect any torchvision data set by its class name, with its splits if it has any."""

from __future__ import annotations

import contextlib
import functools
import inspect
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from components.common.errors import InputError, RunError
from components.data.sources.base import CatalogueEntry, Collection, Progress, contents
from components.data.sources.images import Rendering, flat, is_grey, square

SPLITS = {"train": "train", "trainval": "train", "val": "validation", "valid": "validation", "test": "test"}
REQUIRED = {"EMNIST": {"split": "balanced"}}  # required arguments besides folder and split
TIMEOUT = 30  # seconds without an answer
MAX_RESOLUTION = 64  # pixels; larger images are reduced to it


def find(class_name: str) -> CatalogueEntry:
    """Return the data set of a torchvision class, named by its lower-case name."""
    import torchvision.datasets as datasets

    names = sorted(n for n in datasets.__all__ if n not in ("DatasetFolder", "ImageFolder", "VisionDataset"))
    if class_name not in names:
        near = [name for name in names if name.lower() == class_name.lower()]
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"
        raise InputError(f"torchvision has no data set {class_name!r}; {hint}")
    name = class_name.lower()
    source = f"torchvision.datasets.{class_name}"
    return CatalogueEntry(name, f"torchvision {class_name}", source, functools.partial(collect, class_name))


def collect(class_name: str, home: Path, progress: Progress | None = None) -> Collection:
    """Collect all images of the data set as squares of at most 64 pixels."""
    import torchvision.datasets as datasets

    root = Path(home) / ".atelier" / "downloads" / class_name
    root.mkdir(parents=True, exist_ok=True)
    with explained(class_name, root):
        parts = load(class_name, getattr(datasets, class_name), root)
        resolution = choose_resolution(parts)
        images, labels, splits = read(parts, resolution, progress)
    return Collection(
        about={
            "title": class_name,
            "source": f"torchvision.datasets.{class_name}",
            "licence": "see the data set's own page",
            "credit": f"the authors of {class_name}; see torchvision's documentation for the reference",
            "options": {"fit": "centre square"},
        },
        images=images,
        groups=contents(images),
        labels=labels,
        label_names=class_names(parts, labels),
        splits=splits if len(set(splits)) > 1 else None,
    )


def load(class_name: str, cls: Any, root: Path) -> list[tuple[str, Any]]:
    """Return (our split, data set) for every split that the class offers."""
    accepted = inspect.signature(cls).parameters
    options: dict[str, Any] = dict(REQUIRED.get(class_name, {}))
    if "root" in accepted:
        options["root"] = str(root)
    if "download" in accepted:
        options["download"] = True
    if "train" in accepted:
        return [(split, cls(train=split == "train", **options)) for split in ("train", "test")]
    if "split" in accepted and "split" not in options:
        return offered(cls, options)
    return [("train", cls(**options))]


def offered(cls: Any, options: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return (our split, data set) for the splits of a class with a `split` argument.

    Such a class raises ValueError for unknown splits.
    """
    parts: dict[str, Any] = {}
    for name, split in SPLITS.items():
        with contextlib.suppress(ValueError):
            if split not in parts:
                parts[split] = cls(split=name, **options)
    if not parts:
        raise InputError(f"torchvision.datasets.{cls.__name__} has none of the splits {', '.join(SPLITS)}")
    return list(parts.items())


def read(
    parts: list[tuple[str, Any]], resolution: int, progress: Progress | None
) -> tuple[np.ndarray, Any, list[str]]:
    """Return images (N, C, R, R), labels or None, and the split of each image."""
    total = sum(len(data) for _, data in parts)
    images = np.empty((total, 3, resolution, resolution), np.uint8)
    labels: list[Any] = []
    splits: list[str] = []
    rendering = Rendering(resolution)
    for split, data in parts:
        for image, target in (data[i] for i in range(len(data))):
            images[len(splits)] = square(flat(image, rendering), resolution)
            labels.append(target if isinstance(target, int | np.integer) else None)
            splits.append(split)
            if progress:
                progress(len(splits), total, "read")
    if all(is_grey(image) for image in images):
        images = images[:, :1]
    labelled = None not in labels
    return images, np.array(labels, np.int64) if labelled else None, splits


def choose_resolution(parts: list[tuple[str, Any]]) -> int:
    """Return the size of the images, at most 64."""
    image = parts[0][1][0][0]
    return min(MAX_RESOLUTION, *image.size)


def class_names(parts: list[tuple[str, Any]], labels: np.ndarray | None) -> list[str] | None:
    """Return the names of the classes from torchvision, else their numbers; None without labels."""
    if labels is None:
        return None
    names = [str(name) for name in getattr(parts[0][1], "classes", [])]
    count = int(labels.max()) + 1
    return names if len(names) >= count else [str(i) for i in range(count)]


@contextmanager
def explained(class_name: str, root: Path) -> Iterator[None]:
    """Raise torchvision's errors as InputError or RunError with one sentence that says what to do."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # some classes print; stdout is for results
            yield
    except (InputError, RunError):
        raise
    except (TypeError, ValueError) as error:
        raise InputError(
            f"torchvision.datasets.{class_name} cannot be prepared by its name alone: {one_line(error)}"
        ) from None
    except Exception as error:
        name = class_name.lower()
        raise RunError(
            f"torchvision could not get {class_name} ({one_line(error)}): with a network, run this "
            f"again; without one, prepare it on a machine that has one and copy data/{name} here (or "
            f"`atelier data push` there and `pull` here), or put torchvision's own files into {root}"
        ) from None
    finally:
        socket.setdefaulttimeout(before)


def one_line(error: Exception) -> str:
    """Return an error's message without line breaks."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
