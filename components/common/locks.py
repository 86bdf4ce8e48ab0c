"""Lock files of processes on one machine."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path`; if it is taken, wait or raise BlockingIOError. It ends with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def data_lock(home: Path, name: str) -> Path:
    """The lock of whoever writes data/<name>/ or reads all of it to make a version."""
    return Path(home) / ".atelier" / "locks" / f"data-{name}"
