"""Folders that appear whole or not at all, and the locks that keep two writers apart."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from components.common.locks import data_lock, locked


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary sibling of `target` that takes its place when the block ends well, and else vanishes.

    Call it under a lock: it begins by clearing away what an earlier, killed writer left.
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


def sweep(home: Path) -> None:
    """Clear away what killed processes left beside any data set that nobody is preparing just now."""
    for leftover in sorted((home / "data").glob(".*")):
        name, _, kind = leftover.name[1:].rpartition(".")
        if name and kind in ("new", "old", "scratch"):
            with suppress(BlockingIOError), locked(data_lock(home, name), wait=False):
                settle(home / "data" / name)
                remove(sibling(home / "data" / name, "scratch"))


def remove(folder: Path) -> None:
    """Delete a folder, read-only folders included; it may be missing."""
    if not folder.exists():
        return
    for path, _, _ in os.walk(folder):
        os.chmod(path, 0o755)
    shutil.rmtree(folder)


def sibling(target: Path, kind: str) -> Path:
    """A name no data set can have: names start with a letter or digit."""
    return target.with_name(f".{target.name}.{kind}")
