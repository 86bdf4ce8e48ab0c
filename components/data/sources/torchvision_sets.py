"""Any torchvision data set by its class name, with its own splits where it has them."""

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
from components.data.sources.base import Collection, Known, Progress, contents
from components.data.sources.images import Rendering, flat, is_grey, square

SPLITS = {"train": "train", "trainval": "train", "val": "validation", "valid": "validation", "test": "test"}
REQUIRED = {"EMNIST": {"split": "balanced"}}  # what a class asks for besides where and which split
TIMEOUT = 30  # seconds without an answer
LARGEST = 64  # pixels; larger images are reduced to this


def known(class_name: str) -> Known:
    """The data set of that torchvision class, called by its lower-case name."""
    import torchvision.datasets as datasets

    names = sorted(n for n in datasets.__all__ if n not in ("DatasetFolder", "ImageFolder", "VisionDataset"))
    if class_name not in names:
        near = [name for name in names if name.lower() == class_name.lower()]
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"
        raise InputError(f"torchvision has no data set {class_name!r}; {hint}")
    name = class_name.lower()
    source = f"torchvision.datasets.{class_name}"
    return Known(name, f"torchvision {class_name}", source, functools.partial(collect, class_name))


def collect(class_name: str, home: Path, progress: Progress | None = None) -> Collection:
    """All images of the data set, square, at most 64 pixels."""
    import torchvision.datasets as datasets

    root = Path(home) / ".atelier" / "downloads" / class_name
    root.mkdir(parents=True, exist_ok=True)
    with explained(class_name, root):
        parts = load(class_name, getattr(datasets, class_name), root)
        resolution = choose_resolution(parts)
        images, labels, splits = read(parts, resolution, progress)
    names = class_names(parts, labels)
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
        label_names=names,
        splits=splits if "test" in splits else None,
    )


def load(class_name: str, cls: Any, root: Path) -> list[tuple[str, Any]]:
    """(our split, data set) for every split the class offers."""
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
    """The splits that a class with a `split` argument knows: it refuses the others by ValueError."""
    parts: dict[str, Any] = {}
    for theirs, ours in SPLITS.items():
        try:
            if ours not in parts:
                parts[ours] = cls(split=theirs, **options)
        except ValueError:
            continue
    if not parts:
        raise InputError(f"torchvision.datasets.{cls.__name__} has none of the splits {', '.join(SPLITS)}")
    return list(parts.items())


def read(
    parts: list[tuple[str, Any]], resolution: int, progress: Progress | None
) -> tuple[np.ndarray, Any, list[str]]:
    """Images (N, C, R, R), labels or None, and the split of each."""
    total = sum(len(data) for _, data in parts)
    images = np.empty((total, 3, resolution, resolution), np.uint8)
    labels: list[Any] = []
    splits: list[str] = []
    how = Rendering(resolution)
    for split, data in parts:
        for image, target in (data[i] for i in range(len(data))):
            images[len(splits)] = square(flat(image, how), resolution)
            labels.append(target if isinstance(target, int | np.integer) else None)
            splits.append(split)
            if progress:
                progress(len(splits), total, "read")
    if all(is_grey(image) for image in images):
        images = images[:, :1]
    labelled = None not in labels
    return images, np.array(labels, np.int64) if labelled else None, splits


def choose_resolution(parts: list[tuple[str, Any]]) -> int:
    """The images' own size if it is small, else 64."""
    image = parts[0][1][0][0]
    return min(LARGEST, *image.size)


def class_names(parts: list[tuple[str, Any]], labels: np.ndarray | None) -> list[str] | None:
    """The class names torchvision knows, else numbers."""
    if labels is None:
        return None
    names = [str(name) for name in getattr(parts[0][1], "classes", [])]
    count = int(labels.max()) + 1
    return names if len(names) >= count else [str(i) for i in range(count)]


@contextmanager
def explained(class_name: str, root: Path) -> Iterator[None]:
    """What torchvision raises, as one sentence that says what to do."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # some classes print; standard output is for results
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
    """An error's message without line breaks."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
