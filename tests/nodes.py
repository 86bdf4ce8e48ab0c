"""A Ray cluster of several nodes on this machine: raylets with homes and caches of their own, no shared disk.

They share nothing that a run could use but the network: its store has to be a server.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.conftest import end, free_port

STARTED = 300.0  # seconds until the parts of a cluster must have started


@dataclass
class Nodes:
    """A cluster: a head without computation, and workers of one CPU each."""

    folder: Path  # of all nodes; its name is short, since sockets lie in it
    environment: Mapping[str, str]  # such as the credentials of a store
    port: int = field(default_factory=free_port)
    jobs_port: int = field(default_factory=free_port)
    client_port: int = field(default_factory=free_port)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    begin: list[Callable[[], subprocess.Popen[bytes]]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(2))  # in 127.0.0.N

    @property
    def jobs(self) -> str:
        """The address of the Jobs API."""
        return f"http://127.0.0.1:{self.jobs_port}"

    @property
    def client(self) -> str:
        """The address of Ray's client."""
        return f"ray://127.0.0.1:{self.client_port}"

    @property
    def address(self) -> str:
        return f"127.0.0.2:{self.port}"

    def start(self, workers: int) -> None:
        """Start the head and the workers, and wait until all have joined."""
        self.node(
            "head", "--head", f"--port={self.port}", "--num-cpus=0",
            "--dashboard-host=127.0.0.1", f"--dashboard-port={self.jobs_port}",
            f"--ray-client-server-port={self.client_port}",
        )  # fmt: skip
        self.until(self.accepts)
        for number in range(workers):
            self.add(number)
        self.until(self.answers)
        self.until(self.whole, pause=1.0)  # it starts a process each time

    def add(self, number: int) -> subprocess.Popen[bytes]:
        """Start a worker."""
        return self.node(f"worker{number}", f"--address={self.address}", "--num-cpus=1")

    def node(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        """Start a node with a home and an address of its own."""
        home = self.folder / name
        home.mkdir()
        own = {"HOME": home, "ATELIER_HOME": home / "project", "ATELIER_CACHE": home / "cache"}
        own["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # a job begins with `python`
        command = [
            sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats",
            f"--node-ip-address=127.0.0.{next(self.numbers)}", "--object-store-memory=100000000",
            f"--temp-dir={home}/ray",  # a node copies a job's code there, over that of another
            "--min-worker-port=0", "--max-worker-port=0", f"--dashboard-agent-listen-port={free_port()}",
            *options,
        ]  # fmt: skip
        environment = {**os.environ, **self.environment, **{k: str(v) for k, v in own.items()}}
        for inherited in ("XDG_CACHE_HOME", "PREFECT_API_URL", "PREFECT_HOME"):
            environment.pop(inherited, None)
        # Else Ray Train asks the cluster that began last on this machine, for 12 s at the end of a training.
        environment["RAY_ADDRESS"] = self.address

        def begin() -> subprocess.Popen[bytes]:
            with (home / "log").open("ab") as log:
                return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)

        self.begin.append(begin)
        self.processes.append(begin())
        return self.processes[-1]

    def lose(self, process: subprocess.Popen[bytes]) -> None:
        """A machine that is gone at once: all processes of a node are killed, and it does not come back."""
        number = self.processes.index(process)
        del self.processes[number], self.begin[number]
        for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            with contextlib.suppress(psutil.Error):
                one.kill()
        process.wait()

    def accepts(self) -> bool:
        """Whether the head accepts nodes."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.2", self.port), 2):
            return True
        return False

    def answers(self) -> bool:
        """Whether the Jobs API answers, if only that it wants a token."""
        try:
            urllib.request.urlopen(f"{self.jobs}/api/version", timeout=2).close()
        except urllib.error.HTTPError as error:
            return error.code == 401
        except OSError:
            return False
        return True

    def until(self, condition: Callable[[], bool], pause: float = 0.2) -> None:
        """Wait, and start nodes again that gave up: Ray allows a raylet 30 s, which a busy machine takes."""
        end_of_patience = time.monotonic() + STARTED
        while not condition():
            logs = "\n".join(path.read_text()[-1500:] for path in self.folder.glob("*/log"))
            assert time.monotonic() < end_of_patience, logs
            for number, process in enumerate(self.processes):
                if process.poll() is not None:
                    self.processes[number] = self.begin[number]()
            time.sleep(pause)

    def whole(self) -> bool:
        """Whether all nodes have joined."""
        code = (
            "import logging, ray, sys; ray.init(logging_level=logging.ERROR, log_to_driver=False); "
            f"sys.exit(ray.cluster_resources().get('CPU', 0) < {len(self.processes) - 1})"
        )
        environment = {**os.environ, "RAY_ADDRESS": self.address}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
        return done.returncode == 0

    def caches(self) -> dict[str, list[Path]]:
        """The mirrored data sets on each node, by its name."""
        homes = sorted(self.folder.iterdir())
        return {home.name: sorted(home.glob("cache/atelier/store/*/data")) for home in homes}

    def stop(self) -> None:
        living = [process for process in self.processes if process.poll() is None]
        for process in living:
            process.terminate()
        for process in living:
            end(process)


@contextmanager
def nodes(folder: Path, environment: Mapping[str, str], workers: int = 2) -> Iterator[Nodes]:
    """A cluster for the block."""
    cluster = Nodes(folder, environment)
    try:
        cluster.start(workers)
        yield cluster
    finally:
        cluster.stop()
