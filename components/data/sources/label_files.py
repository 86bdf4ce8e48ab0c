"""Read classes from dataset.json, the table of labels of the data sets that StyleGAN's tools write.

    {"labels": [["00000/img00000000.png", 6], ...]}, or {"labels": null} without classes

The folders of such a data set only keep its files apart; they are no classes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.common.errors import InputError
from components.common.names import displayed
from components.data.sources.listing import Files

TABLE = "dataset.json"


def labels_of(root: Path, inside: str, files: Files) -> dict[str, int | None] | None:
    """Return the class of each image that the table beside the images names; None: there is no such table.

    Without classes in the table all images have None.

    Raises:
        InputError: the labels are no numbers of classes.
    """
    place = next((at for at in dict.fromkeys((inside, "")) if f"{at}{TABLE}" in files.texts), None)
    if place is None:
        return None
    path = root / f"{place}{TABLE}"
    try:
        value = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise refusal(path, f"cannot be read ({error})") from None
    if not isinstance(value, dict) or "labels" not in value:
        return None  # another tool's
    if value["labels"] is None:
        return dict.fromkeys(files.paths)
    try:
        numbers = {f"{place}{name}": number_of(label) for name, label in value["labels"]}
    except (TypeError, ValueError):
        raise refusal(path, "has labels that are not numbers of classes from 0 on") from None
    return {path: numbers[path] for path in files.paths if path in numbers}


def number_of(label: Any) -> int:
    """Return a class, which may be written as a vector with a single 1; raise ValueError for others."""
    if isinstance(label, list) and sorted(label) == [0] * (len(label) - 1) + [1]:
        return label.index(1)
    if type(label) is not int or label < 0:
        raise ValueError(label)
    return label


def refusal(path: Path, why: str) -> InputError:
    """Return the error for a table that cannot be used."""
    return InputError(f"{displayed(path)} {why}; repair it, or pass --layout classes to read folders instead")


def classes(labels: Mapping[str, int | None], paths: Sequence[str]) -> dict[str, Any]:
    """Return `labels` and `label_names` of images that the table names; empty without classes."""
    numbers = [labels[path] for path in paths]
    if None in numbers or len(set(numbers)) < 2:
        return {}
    names = sorted({number for number in numbers if number is not None})
    row = {number: i for i, number in enumerate(names)}
    return {
        "labels": np.array([row[number] for number in numbers if number is not None], np.int64),
        "label_names": [str(number) for number in names],
    }
