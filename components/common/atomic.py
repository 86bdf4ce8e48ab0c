"""Write files and folders atomically, even if the writer is killed."""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from components.common.errors import InputError

HIDDEN = ".tmp-"  # prefix of unfinished files and folders
NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP)  # of the name given
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@contextmanager
def temporary_sibling(path: Path) -> Iterator[Path]:
    """Yield an unused path next to `path`, in the same file system, and remove what is there afterwards."""
    temporary = path.parent / f"{HIDDEN}{uuid.uuid4().hex[:12]}"
    make_folder(path.parent)
    try:
        yield temporary
    finally:
        remove(temporary)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; its file replaces `path` after the block, once synced to disk.

    Raises:
        InputError: there is a folder of that name.
    """
    if os.path.isdir(path):  # of a name that is too long, it says no
        raise InputError(f"{path} is a folder: name a file")
    with temporary_sibling(path) as temporary:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, unless they exist.

    Raises:
        InputError: one of them cannot be made, such as a folder below /proc or a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno not in NO_FOLDER:  # such as a full disk
            raise
        raise InputError(f"{folder}: the folder cannot be made there; name another") from error


def create(path: Path, data: bytes) -> bool:
    """Write a new file atomically, or return False if it exists.

    The file is linked to its name when complete: exclusive like open("xb"), but never seen half-written.
    """
    if path.exists():
        return False
    with temporary_sibling(path) as temporary:
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
    _sync(path)
    _sync(path.parent)
    return True


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a new sibling of `target`; it replaces `target` if the block succeeds, else it is removed.

    Hold a lock: this first cleans up after an earlier writer that was killed.
    """
    temporary, old = sibling(target, "new"), sibling(target, "old")
    make_folder(target.parent)
    settle(target)
    temporary.mkdir()
    try:
        yield temporary
        sync(temporary)
        if target.exists():
            target.rename(old)
        temporary.rename(target)
        _sync(target.parent)
    finally:
        settle(target)


def settle(target: Path) -> Path:
    """Complete or undo what a killed writer of `target` began, and return `target`. Hold the lock."""
    temporary, old = sibling(target, "new"), sibling(target, "old")
    if old.exists() and not target.exists():  # killed between the two renames
        old.rename(target)
    for leftover in (temporary, old):
        remove(leftover)
    return target


def sibling(target: Path, kind: str) -> Path:
    """Return the hidden path next to `target` for a folder of this kind: new, old or scratch."""
    return target.with_name(f".{target.name}.{kind}")


def unfinished(folder: Path, *, older: float = 0.0, deep: bool = True) -> list[Path]:
    """Return the unfinished files and folders below `folder`, or directly in it, of killed and other writers.

    Args:
        folder: the folder; it may be missing.
        older: seconds since they were changed, at least.
        deep: whether to look below its folders too.
    """
    paths, latest = list[Path](), time.time() - older
    for parent, folders, files in os.walk(folder):
        for name in [name for name in (*folders, *files) if name.startswith(HIDDEN)]:
            with suppress(FileNotFoundError):
                if (path := Path(parent, name)).lstat().st_mtime <= latest:
                    paths.append(path)
        folders[:] = [name for name in folders if deep and not name.startswith(HIDDEN)]
    return paths


def remove_unfinished(folder: Path, *, older: float = 0.0, deep: bool = True) -> None:
    """Delete what `unfinished` returns. A writer that is alive fails, so none may write there."""
    for path in unfinished(folder, older=older, deep=deep):
        remove(path)


def remove(path: Path) -> None:
    """Delete a file or a folder with its contents, including read-only folders; it may be missing."""
    with suppress(FileNotFoundError):
        if path.is_symlink() or not path.is_dir():
            path.unlink()
            return
        for folder, _, _ in os.walk(path):
            if not os.access(folder, os.W_OK | os.X_OK):
                os.chmod(folder, 0o755)
        shutil.rmtree(path)


def sync(path: Path) -> None:
    """Write a file, or a folder with all its contents, to disk; else a power cut may leave only names."""
    for folder, _, files in os.walk(path):
        for name in files:
            _sync(Path(folder, name))
        _sync(Path(folder))
    if path.is_file():
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):  # others: the file system cannot sync
            raise
    finally:
        os.close(descriptor)
