"""What is fixed until somebody decides otherwise: the extractor that judges a data set.

    <root>/registry/<data set>/<recipe>/<n>.json       numbered, never changed; the highest counts

A classifier trained on a data set's own labels is part of every number measured with it. If new data, another
version of torch or a change in our code replaced it, yesterday's numbers could not be compared with today's.
So the first one is pinned, and another takes its place only on request (`atelier extractor retrain`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from components.store import Store, numbered

Pin = dict[str, Any]
"""number, key (of the finished extractor stage), hash (of the extractor), data (version it was trained on),
run_id, pinned (UTC), reason."""


def pins(store: Store, data_set: str, recipe: str) -> list[Pin]:
    """All pins of a data set and recipe, oldest first."""
    return numbered.read_all(_folder(store, data_set, recipe))


def pinned(store: Store, data_set: str, recipe: str) -> Pin | None:
    """The pin that counts."""
    return next(reversed(pins(store, data_set, recipe)), None)


def pin(store: Store, data_set: str, recipe: str, *, after: int, **content: Any) -> Pin:
    """Make pin number `after` + 1, or return the one that somebody else made meanwhile."""
    content["pinned"] = datetime.now(UTC).isoformat(timespec="seconds")
    return numbered.append(_folder(store, data_set, recipe), after, content)


def _folder(store: Store, data_set: str, recipe: str) -> Store:
    return store.child("registry", data_set, recipe)
