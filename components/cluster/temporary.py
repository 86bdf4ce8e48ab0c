"""A folder for Ray's sockets whose name is short enough, where that of the environment is not."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
from pathlib import Path

import psutil

from components.common import atomic
from components.common.errors import InputError

SOCKET = 107  # bytes of a Unix socket's path, at most
BELOW = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"  # in Ray's folder, at most
PREFIX = "atelier-ray-"
OURS = re.compile(rf"{PREFIX}(\d+)-\w{{8}}")  # with the process that made it


def short_folder() -> Path | None:
    """Return a new folder for Ray's files, private to this user; None if the environment's will do.

    It is removed when this process ends, or, if the process is killed, by the next one that makes a folder.

    Raises:
        InputError: no folder will do.
    """
    default = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    if usable(default, "ray"):
        return None
    name = f"{PREFIX}{os.getpid()}-"
    for place in ("/tmp", "/var/tmp", os.environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm"):
        if place and usable(place, f"{name}xxxxxxxx"):
            remove_abandoned(Path(place))
            folder = Path(tempfile.mkdtemp(prefix=name, dir=place))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            return folder
    raise InputError(
        f"{default}: Ray cannot make its sockets there, since the folder cannot be written or its name is "
        f"longer than {SOCKET - len(BELOW) - len('/ray')} bytes; set RAY_TMPDIR to a shorter one"
    )


def usable(folder: str, name: str) -> bool:
    """Return whether Ray can make a folder of this name, with sockets, in `folder`."""
    path = os.path.join(os.path.abspath(folder), name)
    places = [folder, path] if os.path.lexists(path) else [folder]  # it may be another user's
    writable = all(os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK) for place in places)
    return writable and len(os.fsencode(f"{path}{BELOW}")) <= SOCKET


def remove_abandoned(place: Path) -> None:
    """Remove the folders of this user whose process has ended."""
    for path in place.glob(f"{PREFIX}*"):
        match = OURS.fullmatch(path.name)
        if match and path.lstat().st_uid == os.getuid() and not psutil.pid_exists(int(match[1])):
            atomic.remove(path)
