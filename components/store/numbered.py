"""Numbered files of a folder, 1.json, 2.json, ...: each has one writer, and the highest number is current."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from components.common.errors import InputError
from components.store.errors import MISSING_OR_TORN

if TYPE_CHECKING:
    from components.store.store import Store


def name(number: int) -> str:
    """Return the file name of a number."""
    return f"{number}.json"


def numbers(folder: Store) -> list[int]:
    """Return the existing numbers, ascending."""
    stems = (file.removesuffix(".json") for file in folder.list())
    return sorted(int(stem) for stem in stems if stem.isdecimal())


def highest(folder: Store) -> int:
    """Return the highest number; 0 if there is none."""
    return max(numbers(folder), default=0)


def create(folder: Store, number: int, content: Mapping[str, Any]) -> bool:
    """Write a new number; return False if it exists."""
    return folder.create(name(number), json.dumps(content, indent=1).encode())


def append(folder: Store, after: int, content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write `content` as number `after` + 1 and return it, or the content of a faster writer."""
    number = after + 1
    create(folder, number, {"number": number, **content})
    written: Mapping[str, Any] = folder.read_json(name(number))
    return written


def read_all(folder: Store) -> list[Mapping[str, Any]]:
    """Return the contents of all numbers, ascending; raise InputError if one is damaged."""
    return [_read(folder, number) for number in numbers(folder)]


def _read(folder: Store, number: int) -> Mapping[str, Any]:
    try:
        content = folder.read_json(name(number))
    except MISSING_OR_TORN:
        content = None
    if not isinstance(content, dict):
        raise damaged(folder, number)
    return content


def damaged(folder: Store, number: int) -> InputError:
    """Return the error for a number that cannot be read."""
    return InputError(f"{folder.url}/{name(number)} is damaged; restore the file from a copy of the store")
