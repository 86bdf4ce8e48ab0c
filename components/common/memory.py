"""Control freed memory: a busy worker keeps it for reuse, an idle one returns it to the system."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
MAX_FREE_BYTES = 512 * 2**20  # at the end of the heap; more is returned to the system
MAX_HEAP_BLOCK_BYTES = 32 * 2**20  # larger blocks are mapped; malloc allows no more


def keep_freed() -> None:
    """Make glibc reuse the memory of the last step in the next; without glibc, do nothing.

    By default, glibc returns most tensors of a small network to the system when they are freed, and the
    system clears each page before its next use. That takes up to a third of a training step on a CPU.
    """
    with contextlib.suppress(OSError, AttributeError):
        malloc = ctypes.CDLL(None)
        malloc.mallopt(TRIM_THRESHOLD, MAX_FREE_BYTES)
        malloc.mallopt(MMAP_THRESHOLD, MAX_HEAP_BLOCK_BYTES)


def give_back() -> None:
    """Collect garbage and, with glibc, return free memory to the system."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@functools.cache
def set_imports_aside() -> None:
    """Spare what exists now, once per process, from `gc.collect`, which takes 0.15 s to look at torch."""
    gc.freeze()


class LastValue(Generic[T]):
    """Keeps what was made last, for jobs that follow each other in a worker and need the same."""

    def __init__(self) -> None:
        self.entry: tuple[str, T] | None = None

    def get(self, key: str, make: Callable[[], T]) -> T:
        """Return what was made for this key; make it if that was for another."""
        if self.entry is None or self.entry[0] != key:
            self.entry = None  # before another takes memory
            self.entry = key, make()
        return self.entry[1]
