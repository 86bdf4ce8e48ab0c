"""Apply a function to many items on all cores, results in order, few of them ahead."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 64  # results that threads compute ahead
MANY = 2000  # items from which on processes pay: they need about a second to start
BATCH = 128  # items sent to a process at once


def in_order(
    do: Callable[[Item], Result], items: Sequence[Item], workers: int | None, *, chunk: int = 0
) -> Iterator[Result]:
    """Yield the results of `do` in the order of `items`; Pillow does not warn of large images.

    Args:
        do: opens images, for instance.
        items: what it is applied to.
        workers: threads or processes; None: as many as there are cores.
        chunk: results that processes may compute ahead. They are used if there are many items: the work on a
            small image hardly leaves Python, where threads wait for each other. 0: threads in any case.
    """
    workers = max(1, workers or cores())
    if chunk and workers > 1 and len(items) >= MANY:
        from joblib import Parallel, delayed  # which those who only sample do not have

        batch = min(BATCH, 1 + chunk // (8 * workers))
        with Parallel(workers, batch_size=batch, pre_dispatch="all", return_as="generator") as parallel:
            for start in range(0, len(items), chunk):
                yield from parallel(delayed(_quietly)(do, item) for item in items[start : start + chunk])
        return
    with warnings.catch_warnings():
        _ignore_large()
        if workers == 1:
            yield from map(do, items)
            return
        with ThreadPoolExecutor(workers) as pool:
            for start in range(0, len(items), AHEAD):
                yield from pool.map(do, items[start : start + AHEAD])


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quietly(do: Callable[[Item], Result], item: Item) -> Result:
    """Return do(item), in a process of its own."""
    _ignore_large()
    return do(item)


def _ignore_large() -> None:
    from PIL import Image  # not for those who only ask for `cores`

    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # such images are refused by their header
