"""Control freed memory: a busy worker keeps it for reuse, an idle one returns it to the system."""

from __future__ import annotations

import contextlib
import ctypes
import gc

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
