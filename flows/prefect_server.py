"""Start the temporary Prefect server of a run or reach a given one, and end servers of killed runs.

A server inherits the environment of its run, and with it the run's process id.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import httpx
import prefect
import psutil
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_HOME,
    get_current_settings,
    temporary_settings,
)

from components.common import loopback
from components.common.errors import InputError, RunError, sentence
from components.common.locks import locked
from components.common.public import public_url
from flows.socks import tolerate_socks_proxies

if TYPE_CHECKING:
    from prefect.server.api.server import SubprocessASGIServer

RUN = "ATELIER_RUN_PID"
SERVER = "prefect.server.api.server"
SECONDS = 600.0  # until a temporary server must answer: 14 on two busy cores, minutes on crowded ones
CONNECT, READ = 2.0, 8.0  # seconds of a given server; httpx connects up to four times
PORTS = 3  # ports to try: another process may take one between the choice and the start


def mark_servers() -> None:
    """Set the variable by which `end_orphans` finds the run of a server that this process starts."""
    os.environ[RUN] = str(os.getpid())


def start_server(meanwhile: Callable[[], None] = lambda: None) -> None:
    """Start a temporary Prefect server, unless the settings name one, and wait until it answers.

    Only one process of a Prefect home does so at a time: servers that make the tables of a new database at
    the same time fail.

    Args:
        meanwhile: is called while the server starts, which keeps one core busy for seconds; again if the
            server needs another port.

    Raises:
        InputError: the given server does not answer, or the records in the Prefect home cannot be used.
        RunError: the temporary server does not answer.
    """
    loopback.bypass_proxies()
    tolerate_socks_proxies()
    if url := PREFECT_API_URL.value():
        check_server(url)
        meanwhile()
        return
    folder = PREFECT_HOME.value()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / "server-start"):
            _start(meanwhile)
    except OSError as error:
        raise InputError(
            f"{error.filename or folder}: {error.strerror}; Prefect's records need a folder "
            "that can be written: set PREFECT_HOME, or ATELIER_HOME for the whole project"
        ) from None


def check_server(url: str) -> None:
    """Raise InputError unless the API of a compatible Prefect server answers at the URL in 15 seconds."""
    limits = {"timeout": httpx.Timeout(READ, connect=CONNECT)}
    try:
        with (
            temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
            get_client(httpx_settings=limits, sync_client=True) as client,
        ):
            if error := client.api_healthcheck():
                raise error
            client.raise_for_api_version_mismatch()
    except Exception as error:
        raise InputError(
            f"PREFECT_API_URL={public_url(url)}: no Prefect server can be used there ({sentence(error)}); "
            "correct the variable (it ends in /api), start that server, or unset it for a temporary one"
        ) from None


def _start(meanwhile: Callable[[], None]) -> None:
    """Start Prefect's server for this process.

    As SubprocessASGIServer.start does, which waits forever for a server that cannot read its records.
    """
    if _has_started():
        meanwhile()
        return
    with tempfile.TemporaryFile() as log:
        for _ in range(PORTS):
            port = loopback.free_port()
            process = _process(port, log)
            server = _registered(port, process)
            with _stopped_on_error(server):
                meanwhile()
            if _is_healthy(process, f"{server.api_url}/health"):
                atexit.register(server.stop)
                return
            failed = process.poll() is not None
            server.stop()
            if "address already in use" not in (text := _text(log)):
                break
        raise (
            _explained(text)
            if failed
            else RunError(
                f"the temporary Prefect server does not answer after {SECONDS:g} s; this machine may be busy"
            )
        )


def _has_started() -> bool:
    """Return whether this process has a server: Prefect's module of it is imported only with the first."""
    module = sys.modules.get(SERVER)
    return module is not None and module.SubprocessASGIServer().running


def _registered(port: int, process: subprocess.Popen[bytes]) -> SubprocessASGIServer:
    """Let Prefect's client use the server of a process; the import takes two seconds, in which it starts."""
    server: SubprocessASGIServer = importlib.import_module(SERVER).SubprocessASGIServer()
    server.port, server.running, server.server_process = port, True, process
    return server


@contextlib.contextmanager
def _stopped_on_error(server: SubprocessASGIServer) -> Iterator[None]:
    """Stop the server if the block raises."""
    try:
        yield
    except BaseException:
        server.stop()
        raise


def _process(port: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the process of a temporary server with Prefect's command."""
    modules = (
        "--app-dir",
        str(Path(prefect.__file__).parents[1]),
        "--factory",
        "prefect.server.api.server:create_app",
    )
    address = ("--host", "127.0.0.1", "--port", str(port))
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    ephemeral = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "uvicorn", *modules, *address, "--log-level", "error", "--lifespan", "on"],
        env={**os.environ, **ephemeral, **settings},
        stdout=log,
        stderr=log,
    )


def _is_healthy(process: subprocess.Popen[bytes], url: str) -> bool:
    """Return whether a server answers before it ends, or before the time is over."""
    until = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < until:
        if loopback.answers(url):
            return True
        time.sleep(0.1)
    return False


def _text(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")


def _explained(text: str) -> Exception:
    """Return the error of a server that has ended, by what it wrote."""
    lines = [line.removeprefix("ERROR:").strip() for line in text.splitlines() if line[:1].isalpha()]
    lines = [line for line in lines if line and not line.startswith(("Traceback", "Application"))]
    reason = (lines or ["it wrote nothing"])[-1][:200]
    home = PREFECT_HOME.value()
    if "Can't locate revision" in text:
        reason = "they were written by a newer version of Prefect"
    elif not any(word in text for word in ("sqlite3.", "database", "alembic")):
        return RunError(
            f"the temporary Prefect server does not start: {reason}; install the locked versions again, "
            "since a newer fastapi, for example, breaks it"
        )
    return InputError(
        f"the records of Prefect in {home} cannot be used: {reason}; move {home}/prefect.db* away (they are "
        "not needed for results), or set PREFECT_HOME to another folder"
    )


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


def main() -> None:
    """Start a server as a run does, and end it; exit with a sentence if that fails. A trial of `doctor`."""
    try:
        start_server()
    except (InputError, RunError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
