"""Files and folders that appear whole or not at all, whatever kills the writer."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HIDDEN = ".tmp-"  # prefix of what is still being written
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A name next to `path`, in the same file system, for something unfinished; gone afterwards."""
    temporary = path.parent / f"{HIDDEN}{uuid.uuid4().hex[:12]}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
    finally:
        remove(temporary)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file that takes the place of `path` when it is complete and on the disk."""
    with beside(path) as temporary:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)


def create(path: Path, data: bytes) -> bool:
    """Write a new file, or return False: exclusive as open("xb") is, and whole, as a link has its content."""
    if path.exists():
        return False
    with beside(path) as temporary:
        temporary.write_bytes(data)
        _sync(temporary)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return _create_without_links(path, data)
        _sync(path.parent)
    return True


def _create_without_links(path: Path, data: bytes) -> bool:
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        return False
    return True


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary sibling of `target` that takes its place when the block ends well, and else vanishes.

    Call it under a lock: it begins by removing what an earlier, killed writer left.
    """
    temporary, old = sibling(target, "new"), sibling(target, "old")
    settle(target)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if target.exists():
            target.rename(old)
        temporary.rename(target)
    finally:
        settle(target)


def settle(target: Path) -> Path:
    """`target`, once what a killed writer left beside it is undone or finished; call it under the lock."""
    temporary, old = sibling(target, "new"), sibling(target, "old")
    if old.exists() and not target.exists():  # killed between the two renames
        old.rename(target)
    for leftover in (temporary, old):
        remove(leftover)
    return target


def sibling(target: Path, kind: str) -> Path:
    """The hidden name beside `target` of a folder that is new, old or scratch."""
    return target.with_name(f".{target.name}.{kind}")


def remove(path: Path) -> None:
    """Delete a file or a folder with all that is in it, read-only folders included; it may be missing."""
    with suppress(FileNotFoundError):
        if path.is_symlink() or not path.is_dir():
            path.unlink()
            return
        for folder, _, _ in os.walk(path):
            if not os.access(folder, os.W_OK | os.X_OK):
                os.chmod(folder, 0o755)
        shutil.rmtree(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):  # others: a file system that cannot sync
            raise
    finally:
        os.close(descriptor)
