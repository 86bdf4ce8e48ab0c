"""Prefect's temporary server outlives a run that was killed outright; the next run ends it."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def end_orphans(prefect_home: str) -> int:
    """End servers of this Prefect home whose parent is gone, where there is a /proc; returns how many."""
    ended = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            command = (process / "cmdline").read_bytes()
            if parent != 1 or b"prefect" not in command or b"uvicorn" not in command:
                continue
            if f"PREFECT_HOME={prefect_home}".encode() in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGTERM)
                ended += 1
    return ended
