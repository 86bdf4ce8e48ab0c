"""Numbered files of a folder, 1.json, 2.json, ...: one writer creates each number, and the highest counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.store.store import Store


def name(number: int) -> str:
    """The file of a number."""
    return f"{number}.json"


def numbers(folder: Store) -> list[int]:
    """The numbers that exist, ascending."""
    stems = (file.removesuffix(".json") for file in folder.list())
    return sorted(int(stem) for stem in stems if stem.isdecimal())


def highest(folder: Store) -> int:
    """The number that counts; 0: there is none."""
    return max(numbers(folder), default=0)


def create(folder: Store, number: int, content: Mapping[str, Any]) -> bool:
    """Write a number that nobody has written; False: somebody has."""
    return folder.create(name(number), json.dumps(content, indent=1).encode())


def append(folder: Store, after: int, content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of number `after` + 1: `content`, or what another writer put there first."""
    number = after + 1
    create(folder, number, {"number": number, **content})
    written: dict[str, Any] = folder.read_json(name(number))
    return written


def read_all(folder: Store) -> list[dict[str, Any]]:
    """The contents of all numbers, ascending."""
    return [folder.read_json(name(number)) for number in numbers(folder)]
