"""What all tests share.

Tiny families, and for the whole session one project home, one Prefect server, one Ray.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
import pytest
import torch
from filelock import FileLock
from hypothesis import settings as hypothesis_settings
from xdist.scheduler import LoadFileScheduling

from components.cluster.ray_cluster import ENVIRONMENT, OWN_CLUSTER, disconnect
from components.common.loopback import free_port
from components.store import Store

pytest_plugins = ["tests.browser", "tests.captioned", "tests.s3"]

ROOT = Path(__file__).parents[1]
EXPENSIVE = ("pipeline", "slow")  # marks of the tests that begin first, so that none of them is the last
ONE_BY_ONE = [f"tests/flows/test_{name}.py" for name in ("inputs", "interrupted", "sweep")]

os.environ.setdefault("ATELIER_LEASE_SECONDS", "8")  # killed runs are common here
os.environ.setdefault("DVC_NO_ANALYTICS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")

# Ray reads these when it is imported, as some files of tests do. The token is that of the session's cluster.
os.environ |= ENVIRONMENT | OWN_CLUSTER | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] = "0.1"  # checkpoints come several a second here

# The same examples in every run, and no folder of them in the checkout.
hypothesis_settings.register_profile("atelier", derandomize=True, database=None, deadline=None)
hypothesis_settings.load_profile("atelier")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden", action="store_true", help="write tests/golden anew instead of comparing with it"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order tests from whole runs, which take minutes each, to the quick ones."""
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in EXPENSIVE])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """With --durations, also say which files take longest: a process is given whole files."""
    if not (count := config.getoption("durations")):
        return
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    terminalreporter.section(f"slowest {count} files, of {sum(seconds.values()):.0f} s")
    for file, taken in seconds.most_common(count):
        terminalreporter.write_line(f"{taken:.2f}s {file}")


class ByFile(LoadFileScheduling):
    """Gives a process whole files, which share fixtures and trainings, and whole runs one by one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if file in ONE_BY_ONE else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile | None:
    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def only_who_asks_joins_the_cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that needs no cluster is as fast after one that does as before it."""
    if "ray_cluster" not in request.fixturenames:
        monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Two threads would wait for each other where other tests run beside these."""
    torch.set_num_threads(1)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first process to need it makes, for all of the session; nobody changes it."""
    root = factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / name
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            unfinished = folder.parent / "unfinished" / name
            make(unfinished)
            unfinished.rename(folder)
    return folder


@pytest.fixture
def calls_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Store], mock.Mock]:
    """Count the calls of a store from now on; threads that other tests have left call other stores."""

    def count(store: Store) -> mock.Mock:
        call, calls = Store._call, mock.Mock(wraps=store._call)

        def counted(called: Store, do: Callable[[], Any]) -> Any:
            return calls(do) if called.url.startswith(store.url) else call(called, do)

        monkeypatch.setattr(Store, "_call", counted)
        return calls

    return count


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project of its own, so that no test touches the checkout's data or store."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(ROOT / "configs", folder / "configs")
    before = os.environ.get("ATELIER_HOME")
    os.environ["ATELIER_HOME"] = str(folder)
    yield folder
    os.environ.pop("ATELIER_HOME") if before is None else os.environ.update(ATELIER_HOME=before)


@pytest.fixture(scope="session")
def digits(home: Path) -> Path:
    """The 8 x 8 digits, prepared and versioned in the session's home."""
    from components.data.local import data_version

    return data_version(home, "digits", None)[0]


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Prefect server for the session; its URL is in the environment."""
    folder = tmp_path_factory.mktemp("prefect")
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = {**os.environ, "PREFECT_HOME": str(folder), "PREFECT_SERVER_LOGGING_LEVEL": "ERROR"}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(f"{url}/health", server)
        os.environ |= {"PREFECT_API_URL": url, "PREFECT_HOME": str(folder)}
        yield url
        os.environ.pop("PREFECT_API_URL")
    finally:
        end(server)


def _wait(url: str, process: subprocess.Popen[bytes], seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert process.poll() is None, "the Prefect server ended at its start"
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError("the Prefect server did not start")


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Ray for the session, which runs join through RAY_ADDRESS as they would a real cluster."""
    head, os.environ["RAY_ADDRESS"] = _start_ray(tmp_path_factory.mktemp("ray") / "log")
    try:
        yield os.environ["RAY_ADDRESS"]
        disconnect()
    finally:
        os.environ.pop("RAY_ADDRESS")
        end(head)


def _start_ray(log: Path, attempts: int = 3) -> tuple[subprocess.Popen[bytes], str]:
    """Start the head of a cluster; again if it gives up, as Ray does when a raylet takes 30 s."""
    for _ in range(attempts):
        port = free_port()
        command = [
            sys.executable, "-u", "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}",
            "--node-ip-address=127.0.0.1", "--num-cpus=2", "--include-dashboard=false",
            "--object-store-memory=200000000", "--min-worker-port=0", "--max-worker-port=0",
            f"--dashboard-agent-listen-port={free_port()}", "--disable-usage-stats",
        ]  # fmt: skip
        # It blocks, so that its end ends this cluster alone: another session of tests may have its own.
        with log.open("wb") as output:
            head = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        # Its port answers before a node can be joined.
        while head.poll() is None and b"Ray runtime started" not in log.read_bytes():
            time.sleep(0.1)
        if head.poll() is None:
            return head, f"127.0.0.1:{port}"
    raise AssertionError(f"Ray did not start:\n{log.read_text()[-3000:]}")


def end(process: subprocess.Popen[bytes], seconds: float = 3) -> None:
    """End a process and all that it has started: with a request first, and after some seconds by force."""
    family = [process, *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    for one in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()
