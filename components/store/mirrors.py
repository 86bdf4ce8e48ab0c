"""The mirrors of remote folders on this node: held while in use; beyond a size, the oldest are removed.

A folder of the cache, <cache>/<address>/, has a lock file beside the cache, which processes share as long as
they live. It is locked with flock: the shared lock of filelock is an SQLite connection, which a process that
is forked must not inherit.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from components.common import atomic
from components.common.errors import InputError
from components.common.hashing import sha256
from components.common.locks import locked
from components.common.paths import working

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


def cache_folder() -> Path:
    """Return the folder in which this node mirrors remote stores."""
    base = os.environ.get("ATELIER_CACHE") or os.environ.get("XDG_CACHE_HOME") or _user_cache()
    return Path(base) / "atelier" / "store"


def _user_cache() -> Path:
    try:
        return Path.home() / ".cache"
    except RuntimeError:  # a user without a name or a home, as in some containers
        return working() / "cache"


def mirror(address: str, name: str, fetch: Callable[[Path], None]) -> Path:
    """Return a file or folder of the cache with the content of a remote address, which must be immutable.

    It is made by `fetch`, which writes to the path that it is called with; again, if its files no longer have
    the sizes that were noted with it.
    """
    cache = cache_folder()
    # One folder per address: with the mirror of a/b inside that of a, the latter would look complete.
    folder = cache / sha256(address)[:24]
    hold(folder)
    path = folder / (name or "root")
    if _is_whole(path):
        return path
    with locked(cache.parent / "locks" / folder.name):
        if not _is_whole(path):  # another process was not faster
            with atomic.temporary_sibling(path) as temporary:
                fetch(temporary)
                atomic.sync(temporary)
                with atomic.replacing(_sizes_file(path)) as file:
                    file.write_text(json.dumps(_sizes(temporary)))
                atomic.remove(path)
                temporary.rename(path)
        trim(cache)
    return path


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
    sizes = {folder: _noted_size(folder) for folder in folders}
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


def _noted_size(folder: Path) -> int:
    """Return the bytes of a folder of the cache: of its mirrors as noted with them, else as counted.

    To count all would take a call for each file of the cache at each new mirror.
    """
    try:
        notes = [json.loads(note.read_bytes()) for note in folder.glob(_sizes_file(Path("*")).name)]
    except (FileNotFoundError, ValueError):
        notes = []
    return sum(sum(note.values()) for note in notes) if notes else size(folder)


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


def _is_whole(path: Path) -> bool:
    """Return whether the files of a mirror have the sizes noted when it was made."""
    try:
        return bool(json.loads(_sizes_file(path).read_bytes()) == _sizes(path))
    except (FileNotFoundError, ValueError):
        return False


def _sizes_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.sizes")


def _sizes(path: Path) -> dict[str, int]:
    """Return the size of each file by its path in a folder; that of a file itself by an empty name."""
    if path.is_file():
        return {"": path.stat().st_size}
    return {p.relative_to(path).as_posix(): p.stat().st_size for p in path.rglob("*") if p.is_file()}
