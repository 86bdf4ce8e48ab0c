"""Start the temporary Prefect server of a run, and end those of killed runs.

A server inherits the environment of its run, and with it the run's process id.
"""

from __future__ import annotations

import contextlib
import os

import psutil
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_HOME

from components.common.locks import locked

RUN = "ATELIER_RUN_PID"


def mark_servers() -> None:
    """Set the variable by which `end_orphans` finds the run of a server that this process starts."""
    os.environ[RUN] = str(os.getpid())


def start_server() -> None:
    """Start a temporary Prefect server, unless the settings name one, and wait until it answers.

    Only one process of a Prefect home does so at a time: servers that make the tables of a new database at
    the same time fail.
    """
    with locked(PREFECT_HOME.value() / "server-start"):
        get_client(sync_client=True)


def end_orphans(prefect_home: str) -> int:
    """Terminate the servers of this Prefect home whose run has ended; return their number."""
    ended = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ValueError):
            command = " ".join(process.cmdline())
            if "prefect" not in command or "uvicorn" not in command:
                continue
            environment = process.environ()
            if environment.get("PREFECT_HOME") != prefect_home or RUN not in environment:
                continue
            if not _is_alive(int(environment[RUN]), process):
                process.terminate()
                ended += 1
    return ended


def _is_alive(run: int, server: psutil.Process) -> bool:
    """Return whether the run of a server is alive; a process that began after the server is another one."""
    try:
        process = psutil.Process(run)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= server.create_time()
    except psutil.NoSuchProcess:
        return False
