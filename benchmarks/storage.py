"""How fast a store is: python benchmarks/storage.py [FOLDER_OR_URL]. Prints JSON and leaves nothing."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from components.store import Store
from components.store.lease import lease

SMALL, LARGE = 200, 64 << 20


def measure(store: Store) -> dict[str, float]:
    """Operations per second with 1 KB each, and megabytes per second of one large object."""
    small, large = os.urandom(1024), os.urandom(LARGE)
    return {
        "writes_per_second": _rate(SMALL, lambda i: store.write_bytes(f"small/{i}", small)),
        "reads_per_second": _rate(SMALL, lambda i: store.read_bytes(f"small/{i}")),
        "lists_per_second": _rate(10, lambda _: store.list("small")),
        "creates_per_second": _rate(SMALL, lambda i: store.create(f"once/{i}", small)),
        "leases_per_second": _rate(10, lambda _: _hold(store)),
        "write_mb_per_second": LARGE / 1e6 * _rate(1, lambda _: store.write_bytes("large", large)),
        "read_mb_per_second": LARGE / 1e6 * _rate(1, lambda _: store.read_bytes("large")),
    }


def _hold(store: Store) -> None:
    with lease(store, "x") as held:
        held.check()


def _rate(times: int, do: Callable[[int], object]) -> float:
    start = time.perf_counter()
    for i in range(times):
        do(i)
    return times / (time.perf_counter() - start)


def main() -> None:
    """Measure the store that is named, else a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        base = Store(sys.argv[1] if len(sys.argv) > 1 else folder)
        name = f"benchmark-{uuid.uuid4().hex[:8]}"
        try:
            print(
                json.dumps(
                    {key: round(value, 1) for key, value in measure(base.child(name)).items()}, indent=1
                )
            )
        finally:
            base.delete(name)


if __name__ == "__main__":
    main()
