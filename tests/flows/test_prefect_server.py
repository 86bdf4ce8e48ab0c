"""The server of a killed run is ended by the next run, that of a living one is not; one starts at a time."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import IO

import psutil
import pytest
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from components.common.errors import InputError, RunError
from components.common.locks import locked
from components.common.loopback import free_port
from flows import prefect_server
from flows import prefect_server as server_module  # not the fixture of that name
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


@pytest.fixture
def prefect_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Prefect home of the test's own, and no server that the settings name or another test has started."""
    monkeypatch.setattr(prefect_server, "PORTS", 2)
    monkeypatch.setattr(SubprocessASGIServer, "_instances", {})
    with temporary_settings({PREFECT_HOME: tmp_path}, restore_defaults=[PREFECT_API_URL]):
        yield tmp_path


def test_one_server_starts_at_a_time(prefect_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Path] = []

    def start(meanwhile: Callable[[], None]) -> None:
        with pytest.raises(BlockingIOError), locked(prefect_home / "server-start", wait=False):
            pass
        started.append(prefect_home)

    monkeypatch.setattr(prefect_server, "_start", start)
    prefect_server.start_server()
    assert len(started) == 1
    with locked(prefect_home / "server-start", wait=False):
        pass


def test_a_server_is_stopped_if_what_is_done_meanwhile_fails(
    prefect_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = list[subprocess.Popen[bytes]]()

    def process(port: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
        servers.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
        return servers[-1]

    def meanwhile() -> None:
        assert servers[0].poll() is None, "the server is starting"
        raise RunError("Ray did not start")

    monkeypatch.setattr(prefect_server, "_process", process)
    with pytest.raises(RunError, match="Ray did not start"):
        prefect_server.start_server(meanwhile)
    assert servers[0].wait(10) and len(servers) == 1


def ends(text: str) -> list[str]:
    """A program that writes a text and fails."""
    return [sys.executable, "-c", f"import sys; print({text!r}); sys.exit(3)"]


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("sqlalchemy.exc.DatabaseError: (sqlite3.DatabaseError) file is not a database\n(Background on this)",
         InputError, ["{home} cannot be used", "file is not a database", "move {home}/prefect.db* away"]),
        ("alembic.util.exc.CommandError: Can't locate revision identified by 'ffff'",
         InputError, ["{home}", "by a newer version of Prefect", "PREFECT_HOME"]),
        ("TypeError: Body() got an unexpected keyword argument 'min_items'",
         RunError, ["min_items", "install the locked versions"]),
    ],
)  # fmt: skip
def test_a_server_that_ends_at_its_start_says_why_and_is_not_waited_for(
    prefect_home: Path, monkeypatch: pytest.MonkeyPatch, text: str, kind: type[Exception], words: list[str]
) -> None:
    tries: list[int] = []

    def process(port: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
        tries.append(port)
        return subprocess.Popen(ends(text), stdout=log)

    monkeypatch.setattr(prefect_server, "_process", process)
    with pytest.raises(kind) as refused:
        prefect_server.start_server()
    assert type(refused.value) is kind and "\n" not in str(refused.value) and len(tries) == 1
    for word in words:
        assert word.format(home=prefect_home) in str(refused.value)


def test_a_port_that_was_taken_meanwhile_is_left_for_another(
    prefect_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def process(port: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
        tries.append(port)
        return subprocess.Popen(
            ends("ERROR:    [Errno 98] error while binding: address already in use"), stdout=log
        )

    monkeypatch.setattr(prefect_server, "_process", process)
    with pytest.raises(RunError, match="address already in use"):
        prefect_server.start_server()
    assert len(tries) == 2


def test_a_home_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        temporary_settings({PREFECT_HOME: tmp_path / "file" / "home"}, restore_defaults=[PREFECT_API_URL]),
        pytest.raises(InputError, match=r"file.*set PREFECT_HOME, or ATELIER_HOME"),
    ):
        prefect_server.start_server()


class NoPrefect(BaseHTTPRequestHandler):
    """A server of pages, which answers every path, as the one of Prefect's own pages does."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>")

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with HTTPServer(("127.0.0.1", 0), NoPrefect) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for url in (
            f"http://127.0.0.1:{server.server_port}",
            f"http://127.0.0.1:{free_port()}/api",
            "nonsense",
        ):
            with (
                temporary_settings({PREFECT_API_URL: url}),
                pytest.raises(InputError, match=f"PREFECT_API_URL={url}: no Prefect server .*, or unset it"),
            ):
                prefect_server.start_server()
        server.shutdown()


def test_a_server_that_answers_is_used(prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{free_port()}")
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        server_module.start_server()
