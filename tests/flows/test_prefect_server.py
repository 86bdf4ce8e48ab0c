"""The server of a killed run is ended by the next run, that of a living one is not; one starts at a time."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from prefect.settings import PREFECT_HOME, temporary_settings

from components.common.locks import locked
from flows import prefect_server
from flows.prefect_server import RUN, end_orphans, mark_servers

# A process with a server's command line; the first argument keeps python from looking for a module.
SERVER = [sys.executable, "-c", "import time; time.sleep(60)", "uvicorn", "prefect.server"]

# Starts such a process and ends, which leaves it without its parent; prints its id.
START = (
    f"import os, subprocess, sys; os.environ.setdefault({RUN!r}, str(os.getpid())); "
    f"print(subprocess.Popen({SERVER!r}, stdout=-3, stderr=-3).pid)"
)
SUBREAPER = 36  # of prctl


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[Callable[..., psutil.Process]]:
    """Return a function that leaves a server without its parent, which this process adopts."""
    libc, servers = ctypes.CDLL(None), list[psutil.Process]()
    libc.prctl(SUBREAPER, 1, 0, 0, 0)

    def make(**changes: str) -> psutil.Process:
        environment = {name: value for name, value in os.environ.items() if name != RUN}
        environment |= {"PREFECT_HOME": str(tmp_path), **changes}
        done = subprocess.run([sys.executable, "-c", START], env=environment, capture_output=True, text=True)
        servers.append(psutil.Process(int(done.stdout)))
        assert servers[-1].ppid() == os.getpid()
        return servers[-1]

    yield make
    libc.prctl(SUBREAPER, 0, 0, 0, 0)
    for server in servers:
        if server.is_running():
            server.kill()
            server.wait()


def test_an_orphan_is_ended_whichever_process_adopted_it(
    tmp_path: Path, orphan: Callable[..., psutil.Process]
) -> None:
    server = orphan()
    assert end_orphans(str(tmp_path / "other")) == 0
    assert end_orphans(str(tmp_path)) == 1
    server.wait(5)


def test_the_server_of_a_living_run_is_left_alone(
    tmp_path: Path, orphan: Callable[..., psutil.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(RUN, raising=False)
    mark_servers()
    server = orphan(**{RUN: os.environ[RUN]})
    assert end_orphans(str(tmp_path)) == 0 and server.is_running()


def test_a_new_process_with_the_number_of_the_run_is_not_the_run(
    tmp_path: Path, orphan: Callable[..., psutil.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = orphan(**{RUN: str(os.getpid())})
    later = server.create_time() + 1
    monkeypatch.setattr(
        psutil.Process,
        "create_time",
        lambda self, before=psutil.Process.create_time: later if self.pid == os.getpid() else before(self),
    )
    assert end_orphans(str(tmp_path)) == 1
    server.wait(5)


def test_the_server_of_a_killed_run_that_nobody_has_waited_for_is_ended(
    tmp_path: Path, orphan: Callable[..., psutil.Process]
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as run:
        server = orphan(**{RUN: str(run.pid)})
        run.kill()
        os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOWAIT)  # a zombie from now on
        assert end_orphans(str(tmp_path)) == 1
        server.wait(5)


def test_servers_that_no_run_has_started_are_left_alone(
    tmp_path: Path, orphan: Callable[..., psutil.Process]
) -> None:
    server = orphan(**{RUN: ""})
    assert end_orphans(str(tmp_path)) == 0 and server.is_running()


def test_one_server_starts_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[bool] = []

    def start(sync_client: bool) -> None:
        with pytest.raises(BlockingIOError), locked(tmp_path / "server-start", wait=False):
            pass
        started.append(sync_client)

    monkeypatch.setattr(prefect_server, "get_client", start)
    with temporary_settings({PREFECT_HOME: tmp_path}):
        prefect_server.start_server()
    assert started == [True]
    with locked(tmp_path / "server-start", wait=False):
        pass
