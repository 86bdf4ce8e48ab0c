"""The mirrors of remote folders on this node: held while in use; beyond a size, the oldest are removed.

A folder of the cache, <cache>/<address>/, has a lock file beside the cache, which processes share as long as
they live.
"""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from components.common import atomic
from components.common.errors import InputError

LIMIT = "ATELIER_CACHE_GB"
GB = 10**9

_held: dict[Path, int] = {}  # descriptors of lock files, by folder


def limit() -> float:
    """Return the bytes that the cache may take: ATELIER_CACHE_GB, by default 50 GB.

    Raises:
        InputError: the variable is not a number of gigabytes.
    """
    text = os.environ.get(LIMIT, "50")
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = math.nan
    if not gigabytes >= 0:
        raise InputError(f"{LIMIT}={text}: set it to a number of gigabytes, at least 0")
    return gigabytes * GB


def hold(folder: Path) -> None:
    """Keep a folder of the cache as long as this process lives, and note that it is used now."""
    lock = _lock_file(folder)
    if folder not in _held:
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        _held[folder] = descriptor
    os.utime(lock)


def trim(cache: Path) -> None:
    """Remove what killed processes left and, beyond the limit, the mirrors that no process uses.

    The least recently used go first.
    """
    folders = sorted((path for path in cache.iterdir() if path.is_dir()), key=_last_use)
    sizes = {folder: size(folder) for folder in folders}
    excess = sum(sizes.values()) - limit()
    for folder in folders:
        with _unused(folder) as unused:
            if unused and excess > 0:
                atomic.remove(folder)
                excess -= sizes[folder]
            elif unused:
                atomic.remove_unfinished(folder)


def size(folder: Path) -> int:
    """Return the bytes of the files below a folder, of which some may vanish meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total


@contextmanager
def _unused(folder: Path) -> Iterator[bool]:
    """Yield whether no process holds the folder; none can begin to during the block."""
    lock = _lock_file(folder)
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _last_use(folder: Path) -> float:
    try:
        return _lock_file(folder).stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _lock_file(folder: Path) -> Path:
    return folder.parent.with_name("in-use") / folder.name
