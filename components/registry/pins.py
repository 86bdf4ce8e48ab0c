"""Pins of extractors: each data set is evaluated with one extractor until somebody replaces it.

    <root>/registry/<data set>/<recipe>/<n>.json       numbered and immutable; the highest is valid

A classifier trained on a data set's labels affects every number measured with it. If new data, another
version of torch or a change in the code replaced it, old and new numbers could not be compared. Therefore
the first extractor is pinned, and only `atelier extractor retrain` replaces it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from components.records.extractor import Pin
from components.store import Store, numbered


def pins(store: Store, data_set: str, recipe: str) -> list[Pin]:
    """Return all pins of a data set and recipe, oldest first; raise InputError if one is damaged."""
    folder = _folder(store, data_set, recipe)
    read = [Pin.read(content) for content in numbered.read_all(folder)]
    for number, pin in zip(numbered.numbers(folder), read, strict=False):
        if pin is None:
            raise numbered.damaged(folder, number)
    return [pin for pin in read if pin]


def pinned(store: Store, data_set: str, recipe: str) -> Pin | None:
    """Return the valid pin; None if there is none."""
    return next(reversed(pins(store, data_set, recipe)), None)


def pin(store: Store, data_set: str, recipe: str, *, after: int, **content: Any) -> Pin:
    """Create and return pin number `after` + 1; if another process was faster, return that process's pin."""
    content["pinned"] = datetime.now(UTC).isoformat(timespec="seconds")
    return Pin.model_validate(numbered.append(_folder(store, data_set, recipe), after, content))


def _folder(store: Store, data_set: str, recipe: str) -> Store:
    return store.child("registry", data_set, recipe)
