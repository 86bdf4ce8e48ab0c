"""Lock files between processes on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from components.common.atomic import make_folder
from components.common.interruption import interrupted


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path`, at most until the process ends.

    Raises:
        InputError: the folder of the lock file cannot be made.
        BlockingIOError: another process holds it, and this one is not to `wait`, or is to end.
    """
    make_folder(path.parent)
    # A soft lock, the fallback for file systems without locks, would outlive a killed process.
    lock = FileLock(path, blocking=wait, fallback_to_soft=False)
    try:
        lock.acquire(cancel_check=interrupted.is_set)
    except Timeout as error:
        raise BlockingIOError(f"{path} is locked by another process") from error
    try:
        yield
    finally:
        lock.release()
