"""What becomes of freed memory: a worker that computes takes it again, one that waits gives it back."""

from __future__ import annotations

import contextlib
import ctypes
import gc

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # names of mallopt's parameters in malloc.h
KEPT = 512 * 2**20  # bytes at the end of the heap
LARGEST = 32 * 2**20  # bytes of a block; larger ones always come from the system, which is malloc's own limit


def keep_freed() -> None:
    """Have glibc hand the memory of the last step to the next one; elsewhere nothing.

    By default it returns most tensors of a small network to the system as soon as they are freed, and the
    system clears every page again before its next use: up to a third of a training step on a CPU.
    """
    with contextlib.suppress(OSError, AttributeError):
        malloc = ctypes.CDLL(None)
        malloc.mallopt(TRIM_THRESHOLD, KEPT)
        malloc.mallopt(MMAP_THRESHOLD, LARGEST)


def give_back() -> None:
    """Collect garbage, and have glibc return what is free; elsewhere only the former."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
