"""End temporary Prefect servers of killed runs."""

from __future__ import annotations

import contextlib

import psutil


def end_orphans(prefect_home: str) -> int:
    """Terminate the servers of this Prefect home that lost their parent process; return their number."""
    ended = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.ppid() != 1:
                continue
            command = " ".join(process.cmdline())
            if "prefect" not in command or "uvicorn" not in command:
                continue
            if process.environ().get("PREFECT_HOME") == prefect_home:
                process.terminate()
                ended += 1
    return ended
