"""What may happen to a run: one function for each fault, and where it can happen.

A fault gets the place of a run, its driver's process and a random generator, and returns the process to go on
with.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from faulty_s3 import FaultyS3

from components.common import loopback

ROOT = Path(__file__).parents[1]
LEASE = 5  # seconds until a lease expires
MARK = "ATELIER_SOAK"  # in the environment of all processes of a soak
INTERRUPTED = (130, -signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP)  # the latter before a handler is there
FULL = "No space left on device"  # how a run on a full disk says so

Process = Any  # subprocess.Popen, or Forked of `forked.py`


@dataclass
class Place:
    """A home and a store, both new, and the command that is given there."""

    folder: Path
    store: str
    environment: Mapping[str, str]
    command: list[str]  # after `atelier`
    proxy: FaultyS3 | None = None
    clock: Path | None = None  # its contents, in seconds, are added to the clock that Python reads
    disk: Path | None = None  # a small file system of the place's own
    server: PrefectServer | None = None  # None: each run starts its own
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    endings: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    starts: int = 0

    def start(self) -> Process:
        """Give the command once."""
        self.starts += 1
        command = [sys.executable, "-m", "flows.cli", *self.command]
        with self.errors.open("ab") as errors:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env=self._variables,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )

    @property
    def errors(self) -> Path:
        """The file with what the runs printed for people."""
        return self.folder / "errors.txt"

    @property
    def home(self) -> Path:
        """The folder for all that the runs write."""
        return self.disk or self.folder

    @property
    def _variables(self) -> dict[str, str]:
        return {
            **os.environ,
            "ATELIER_HOME": str(self.home),
            "PREFECT_HOME": str(self.home / "prefect"),
            "ATELIER_CACHE": str(self.home),
            "ATELIER_LEASE_SECONDS": str(LEASE),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_LOGGING_LEVEL": "CRITICAL",
            "RAY_USAGE_STATS_ENABLED": "0",
            MARK: self.mark,
            **({"PREFECT_API_URL": self.server.url} if self.server else {}),
            **self.environment,
        }

    def processes(self, *names: str) -> list[psutil.Process]:
        """Return the living processes of this place's runs, by the beginnings of their names."""
        alive = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    alive.append(process)
        return [p for p in alive if not names or _name(p).startswith(names)]

    def ended(self, process: Process) -> None:
        """Note how a run ended."""
        self.endings[ending(self, process)] += 1

    def close(self) -> None:
        """End what is left, and delete the folder."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
        if self.disk:
            subprocess.run(["umount", "--lazy", str(self.disk)], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


class PrefectServer:
    """A Prefect server that runs of several places use."""

    def __init__(self, home: Path):
        self.home, self.port = home, loopback.free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.process = self._started()

    def _started(self) -> Process:
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        environment = {**os.environ, "PREFECT_HOME": str(self.home), "PREFECT_SERVER_LOGGING_LEVEL": "ERROR"}
        environment |= {"PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        command = [sys.executable, "-m", "prefect", "server", "start", *address]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet)
        while process.poll() is None and not loopback.answers(f"{self.url}/health"):
            time.sleep(0.3)
        return process

    def kill(self) -> None:
        """Kill it, and what it has started, without asking."""
        for process in [*psutil.Process(self.process.pid).children(recursive=True), self.process]:
            with suppress(psutil.Error):
                process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start it again, with its records."""
        self.process = self._started()


def _name(process: psutil.Process) -> str:
    """Return the name of a process; `prefect` for a server that a run started."""
    with suppress(psutil.Error):
        command = " ".join(process.cmdline())
        return "prefect" if "uvicorn" in command and "prefect" in command else process.name()
    return ""


def ended_by(process: Process, seconds: float) -> bool:
    """Wait for a process, at most for these seconds; return whether it has ended."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None


def ending(place: Place, process: Process) -> str:
    """Return how a run ended: its exit code and its last sentence, without names and numbers that vary."""
    if process.returncode == 0:
        return "0"
    lines = place.errors.read_text(errors="replace").strip().splitlines()
    sentence = next(
        (line for line in reversed(lines) if line.startswith("atelier: ")), lines[-1] if lines else ""
    )
    return f"{process.returncode}: {sentence.replace(place.store, 'STORE')[:160]}"


# Processes that end


def kill(place: Place, process: Process, rng: random.Random) -> Process:
    """Kill the driver."""
    process.kill()
    process.wait()
    return place.start()


def end(number: signal.Signals, *names: str) -> Callable[[Place, Process, random.Random], Process]:
    """Return the fault that sends a signal to a process of these names; to the driver if there is none."""

    def send(place: Place, process: Process, rng: random.Random) -> Process:
        targets = place.processes(*names)
        if not targets:
            return kill(place, process, rng)
        with suppress(psutil.Error):
            rng.choice(targets).send_signal(number)
        return process

    return send


def interrupt(place: Place, process: Process, rng: random.Random) -> Process:
    """Press Ctrl-C once, end the run as a scheduler does, or close the terminal."""
    process.send_signal(rng.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP]))
    process.wait(300)
    place.ended(process)
    how = ending(place, process)
    if process.returncode not in INTERRUPTED and FULL not in how:  # a full disk may have ended it before
        place.problems.append(f"one signal ended the run with {how}")
    return place.start()


def kill_prefect(place: Place, process: Process, rng: random.Random) -> Process:
    """Kill the Prefect server; one that several runs use comes back after more than a lease."""
    if place.server is None:
        return end(signal.SIGKILL, "prefect")(place, process, rng)
    place.server.kill()
    time.sleep(rng.uniform(1.5, 4) * LEASE)
    place.server.restart()
    return process


# Processes that pause


def sleep(place: Place, process: Process, rng: random.Random) -> Process:
    """Stop all processes for longer than the lease, as a machine does that is put to sleep."""
    stopped = place.processes()
    send(stopped, signal.SIGSTOP)
    time.sleep(rng.uniform(1, 3) * LEASE)
    send(stopped, signal.SIGCONT)
    return process


def slow(place: Place, process: Process, rng: random.Random) -> Process:
    """Let all processes run for a fifth of the time."""
    until = time.monotonic() + rng.uniform(10, 30)
    while time.monotonic() < until:
        stopped = place.processes()
        send(stopped, signal.SIGSTOP)
        time.sleep(0.8)
        send(stopped, signal.SIGCONT)
        time.sleep(0.2)
    return process


def send(processes: list[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to each process that still lives."""
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)


# Two runs


def take_over(place: Place, process: Process, rng: random.Random) -> Process:
    """Stop the driver beyond its lease while another one takes over, then let it go on."""
    process.send_signal(signal.SIGSTOP)
    other = place.start()
    ended_by(other, 3 * LEASE + rng.uniform(0, 10))
    process.send_signal(signal.SIGCONT)
    if not ended_by(process, 900):
        raise AssertionError("the run that lost its lease did not end")
    place.ended(process)
    return other


def twice(place: Place, process: Process, rng: random.Random) -> Process:
    """Give the same command beside the run, and kill one of the two after a while."""
    both = [process, place.start()]
    rng.shuffle(both)
    ended_by(both[0], rng.uniform(5, 25))
    both[0].kill()
    both[0].wait()
    return both[1]


# Clock, disk and store


def clock_jump(place: Place, process: Process, rng: random.Random) -> Process:
    """Set the clock an hour or a day forwards or back."""
    assert place.clock
    place.clock.write_text(f"{float(place.clock.read_text()) + rng.choice([-86400, -3600, 3600, 86400]):.0f}")
    return process


def disk_full(place: Place, process: Process, rng: random.Random) -> Process:
    """Fill the disk of home, records and store for a while."""
    assert place.disk
    balloon = place.disk / "balloon"
    with suppress(OSError), balloon.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))
    time.sleep(rng.uniform(5, 20))
    balloon.unlink()
    return process


def fault(name: str, seconds: tuple[float, float]) -> Callable[[Place, Process, random.Random], Process]:
    """Return the fault of an S3 server of this name."""

    def disturb(place: Place, process: Process, rng: random.Random) -> Process:
        assert place.proxy
        place.proxy.fault = name
        time.sleep(rng.uniform(*seconds))
        place.proxy.fault = "none"
        return process

    return disturb


ON_A_PROCESS = {
    "kill the driver": kill,
    "interrupt, terminate or hang up": interrupt,
    "stop all processes beyond the lease": sleep,
    "slow all processes down to a fifth": slow,
    "stop the driver while another takes over": take_over,
    "the same command twice, one of them killed": twice,
}
ON_A_RUN = {
    "kill a worker": end(signal.SIGKILL, "ray::"),
    "terminate a worker": end(signal.SIGTERM, "ray::"),
    "kill the raylet": end(signal.SIGKILL, "raylet"),
    "kill Ray's head": end(signal.SIGKILL, "gcs_server"),
    "kill the Prefect server": kill_prefect,
}
ON_A_CLOCK = {"set the clock by an hour or a day, forwards or back": clock_jump}
ON_A_DISK = {"disk full for 5 to 20 s": disk_full}
ON_S3 = {
    "store away for 5 to 60 s": fault("away", (5, 60)),
    "store slow (0.5 s a request) for 10 to 30 s": fault("slow", (10, 30)),
    "store refuses 10 % of the requests for 10 to 30 s": fault("refusing", (10, 30)),
    "quota of the store used up for 5 to 20 s": fault("quota", (5, 20)),
}
FAULTS = ON_A_PROCESS | ON_A_RUN | ON_A_CLOCK | ON_A_DISK | ON_S3
