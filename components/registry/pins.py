"""What is fixed until somebody decides otherwise: the extractor that judges a data set.

    <root>/registry/<data set>/<recipe>/<n>.json       numbered, never changed; the highest counts

A classifier trained on a data set's own labels is part of every number measured with it. If new data, another
version of torch or a change in our code replaced it, yesterday's numbers could not be compared with today's.
So the first one is pinned, and another takes its place only on request (`atelier extractor renew`).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from components.store import Store

Pin = dict[str, Any]
"""number, key (of the finished extractor stage), hash (of the extractor), data (version it was trained on),
run_id, pinned (UTC), reason."""


def pins(store: Store, data_set: str, recipe: str) -> list[Pin]:
    """All pins of a data set and recipe, oldest first."""
    folder = store.child("registry", data_set, recipe)
    return [folder.read_json(f"{number}.json") for number in _numbers(folder)]


def pinned(store: Store, data_set: str, recipe: str) -> Pin | None:
    """The pin that counts."""
    known = pins(store, data_set, recipe)
    return known[-1] if known else None


def pin(store: Store, data_set: str, recipe: str, *, after: int, **content: Any) -> Pin:
    """Make pin number `after` + 1, or return the one that somebody else made meanwhile."""
    folder, number = store.child("registry", data_set, recipe), after + 1
    made = {"number": number, **content, "pinned": datetime.now(UTC).isoformat(timespec="seconds")}
    folder.create(f"{number}.json", json.dumps(made, indent=1).encode())
    found: Pin = folder.read_json(f"{number}.json")
    return found


def _numbers(folder: Store) -> list[int]:
    names = (name.removesuffix(".json") for name in folder.list())
    return sorted(int(name) for name in names if name.isdecimal())
