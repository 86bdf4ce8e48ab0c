"""Disturb small runs at random and compare them with one that nobody disturbs.

    python benchmarks/soak.py [--disturbances 60] [--minutes 60] [--seed 0] [--only folder|s3] [--out FILE]

Runs of one family, on a folder and on an S3 server, are killed, stopped, paused beyond their lease while
another run takes over, and lose their store for a while. The same command is given again until a run ends by
itself. Afterwards the results must equal the undisturbed ones bit for bit, and no process, temporary file,
unfinished upload or held lease may be left. Exits with 1 otherwise. Takes about half an hour on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from faulty_s3 import FaultyS3

sys.path.insert(0, str(Path(__file__).parents[1]))
from components.store import Store, numbered
from tests import s3

ROOT = Path(__file__).parents[1]
LEASE = 5  # seconds until a lease expires
SETTINGS = {
    "train.steps": 3000,
    "train.checkpoint_every": 100,
    "evaluate.held_out_classes": "[]",
    "evaluate.latent_analysis": "false",
}
STAGES = ("extractor", "reference", "train", "evaluate", "export")  # whose results are compared
TIMES = {"seconds", "work_seconds", "samples_per_second", "started", "ended", "run_id", "attempt", "files"}
VARIES = {"workers"}  # settings that change no result
MARK = "ATELIER_SOAK"  # in the environment of all processes of a soak
EACH = 12  # disturbances of a run, at most
STARTS = 40  # at most, until a run must have ended by itself


@dataclass
class Outcome:
    """What happened on one kind of store."""

    name: str
    runs: int = 0
    compared: int = 0  # files of each run
    disturbances: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


class Plan:
    """The disturbances still to come; none after a time by `time.monotonic()`."""

    def __init__(self, kinds: list[str], until: float):
        self.kinds, self.until = kinds, until

    def __bool__(self) -> bool:
        return bool(self.kinds) and time.monotonic() < self.until

    def next(self, done: int) -> str | None:
        """Return the next one of a run that has had `done`; None if it is left alone from now on."""
        return self.kinds.pop(0) if self and done < EACH else None


@dataclass
class Place:
    """A home and a store; both are new."""

    folder: Path
    store: str
    environment: Mapping[str, str]
    workers: int
    proxy: FaultyS3 | None = None
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    endings: Counter[str] = field(default_factory=Counter)
    starts: int = 0

    def start(self) -> subprocess.Popen[bytes]:
        """Give the command of the run once."""
        self.starts += 1
        command = [sys.executable, "-m", "flows.cli", "run", "tests/configs/tiny.yaml", "--json"]
        command += ["--only", "autoencoder", "--set", f"store.url={self.store}"]
        for name, value in {**SETTINGS, "train.workers": self.workers}.items():
            command += ["--set", f"{name}={value}"]
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
    def _variables(self) -> dict[str, str]:
        home = {
            "ATELIER_HOME": self.folder,
            "PREFECT_HOME": self.folder / "prefect",
            "ATELIER_CACHE": self.folder,
        }
        return {
            **os.environ,
            **{name: str(value) for name, value in home.items()},
            "ATELIER_LEASE_SECONDS": str(LEASE),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_LOGGING_LEVEL": "CRITICAL",
            "RAY_USAGE_STATS_ENABLED": "0",
            MARK: self.mark,
            **self.environment,
        }

    def processes(self) -> list[psutil.Process]:
        """All processes that runs of this place have started and that still live."""
        alive = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    alive.append(process)
        return alive

    def close(self) -> None:
        """End what is left, and delete the folder."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


# Disturbances. Each returns the process to go on with.

Process = subprocess.Popen[bytes]


def kill(place: Place, process: Process, rng: random.Random) -> Process:
    """Kill the driver."""
    process.kill()
    process.wait()
    return place.start()


def kill_worker(place: Place, process: Process, rng: random.Random) -> Process:
    """Kill a process of Ray that computes; the driver if there is none."""
    workers = [p for p in place.processes() if p.name().startswith("ray::")]
    if not workers:
        return kill(place, process, rng)
    with suppress(psutil.Error):
        rng.choice(workers).kill()
    return process


def interrupt(place: Place, process: Process, rng: random.Random) -> Process:
    """Press Ctrl-C, end the run as a scheduler does, or close the terminal."""
    process.send_signal(rng.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP]))
    process.wait(120)
    return place.start()


def sleep(place: Place, process: Process, rng: random.Random) -> Process:
    """Stop all processes for longer than the lease, as a machine does that is put to sleep."""
    stopped = place.processes()
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for one in stopped:
            with suppress(psutil.Error):
                one.send_signal(number)
        if number == signal.SIGSTOP:
            time.sleep(rng.uniform(1, 3) * LEASE)
    return process


def take_over(place: Place, process: Process, rng: random.Random) -> Process:
    """Stop the driver beyond its lease while another one takes over, then let it go on."""
    process.send_signal(signal.SIGSTOP)
    other = place.start()
    ended_by(other, 3 * LEASE + rng.uniform(0, 10))
    process.send_signal(signal.SIGCONT)
    if not ended_by(process, 900):
        raise AssertionError("the run that lost its lease did not end")
    place.endings[ending(place, process)] += 1
    return other


def fault(name: str, seconds: tuple[float, float]) -> Callable[[Place, Process, random.Random], Process]:
    """Return the disturbance by a fault of the S3 server."""

    def disturb(place: Place, process: Process, rng: random.Random) -> Process:
        assert place.proxy
        place.proxy.fault = name
        time.sleep(rng.uniform(*seconds))
        place.proxy.fault = "none"
        return process

    return disturb


EVERYWHERE = {
    "kill the driver": kill,
    "kill a worker": kill_worker,
    "interrupt, terminate or hang up": interrupt,
    "stop all processes beyond the lease": sleep,
    "stop the driver while another takes over": take_over,
}
ON_S3 = {
    "store away for 5 to 60 s": fault("away", (5, 60)),
    "store slow (0.5 s a request) for 10 to 30 s": fault("slow", (10, 30)),
    "store refuses 10 % of the requests for 10 to 30 s": fault("refusing", (10, 30)),
}


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


def disturbed(place: Place, planned: Plan, rng: random.Random) -> Counter[str]:
    """Run until a run ends by itself; return the number of disturbances by kind."""
    done: Counter[str] = Counter()
    process = place.start()
    while place.starts < STARTS:
        kind = None
        if not ended_by(process, rng.uniform(1, 20)):
            kind = planned.next(done.total())
        if kind is not None:
            print(f"  {time.strftime('%H:%M:%S')} {kind}", flush=True)
            process = {**EVERYWHERE, **ON_S3}[kind](place, process, rng)
            done[kind] += 1
            continue
        ended_by(process, 900)
        place.endings[ending(place, process)] += 1
        if process.returncode == 0:
            return done
        process = place.start()
    raise AssertionError(f"no run of {STARTS} ended by itself: {place.endings}")


# What must be the same, and what must not be left


def results(store: Store, run: Mapping[str, Any]) -> dict[str, str]:
    """Return the hash of every result that has to repeat, by stage and file."""
    hashes = {}
    for stage in run["stages"]:
        if stage["name"] not in STAGES:
            continue
        attempt = store.child(f"{stage['uri']}/attempts/{stage['attempt']}")
        for path in ["result.json", *(entry["path"] for entry in attempt.read_json("result.json")["files"])]:
            if path == "README.md":  # says how long the training took
                continue
            data = attempt.read_bytes(path)
            if path.endswith((".json", ".jsonl")):
                values = map(json.loads, data.splitlines() if path.endswith("l") else [data])
                data = json.dumps([without_times(value) for value in values], sort_keys=True).encode()
            hashes[f"{stage['name']}/{path}"] = hashlib.sha256(data).hexdigest()
    return hashes


def without_times(value: Any) -> Any:
    """Return a JSON value without what tells when, by which run and in which attempt it was computed."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in TIMES | VARIES}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def leftovers(place: Place, store: Store) -> list[str]:
    """Return processes, temporary files, unfinished uploads and leases that are left."""
    end = time.monotonic() + 60
    while (processes := place.processes()) and time.monotonic() < end:
        time.sleep(1)
    left = [f"process {' '.join(process.cmdline())[:100]}" for process in processes]
    left += [f"lease {name}" for name in held_leases(store)]
    left += [f"file {path}" for path in place.folder.rglob(".tmp-*")]
    return left + unfinished_uploads(place)


def held_leases(store: Store) -> list[str]:
    """Return the leases that were not released; of runs, which nobody takes over, those that still beat."""

    def held() -> dict[str, Any]:
        names = {path.rpartition("/")[0] for path in store.find("leases")}
        folders = {name: store.child("leases", name) for name in names}
        states = {n: f.read_json(numbered.name(numbered.highest(f))) for n, f in folders.items()}
        return {name: state for name, state in states.items() if not state["released"]}

    before = held()
    time.sleep(LEASE)
    return [n for n, state in held().items() if not n.startswith("run-") or before.get(n) != state]


def unfinished_uploads(place: Place) -> list[str]:
    """Return the multipart uploads of an S3 store that were neither completed nor aborted."""
    if place.proxy is None:
        return []
    bucket = place.store.removeprefix("s3://").partition("/")[0]
    uploads = SERVER[0].client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return [f"upload {upload['Key']}" for upload in uploads]


# The soak

SERVER: list[s3.Server] = []


def new_place(on_s3: bool, number: int, seed: int) -> Place:
    """Return a place for a run, with its own proxy if it is on S3."""
    folder = Path(tempfile.mkdtemp(prefix="atelier-soak-"))
    workers = number % 2  # 0: training in the driver's process
    if not on_s3:
        return Place(folder, str(folder / "store"), {}, workers)
    proxy = FaultyS3(SERVER[0].endpoint, seed)
    environment = {**SERVER[0].environment, "AWS_ENDPOINT_URL": proxy.endpoint}
    bucket = f"soak-{secrets.token_hex(6)}"
    SERVER[0].client().create_bucket(Bucket=bucket)
    return Place(folder, f"s3://{bucket}/store", environment, workers, proxy)


def soak(on_s3: bool, planned: Plan, seed: int) -> Outcome:
    """Disturb runs until all planned disturbances are done; return what happened."""
    rng, outcome = random.Random(seed), Outcome("an S3 server" if on_s3 else "a folder")
    expected = run(new_place(on_s3, 0, seed), Plan([], 0.0), rng, outcome)
    number = 0
    while planned:
        number += 1
        print(f"run {number} on {outcome.name}, {len(planned.kinds)} to go", flush=True)
        got = run(new_place(on_s3, number, seed + number), planned, rng, outcome)
        different = [name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name)]
        outcome.problems += [f"run {number}: {name} differs" for name in different]
    outcome.runs, outcome.compared = number, len(expected)
    return outcome


def run(place: Place, planned: Plan, rng: random.Random, outcome: Outcome) -> dict[str, str]:
    """Return the hashes of a run's results; add its disturbances, endings and leftovers to the outcome."""
    try:
        outcome.disturbances += disturbed(place, planned, rng)
        outcome.endings += place.endings
        store = Store(place.store)
        runs = [store.read_json(f"runs/{run_id}/run.json") for run_id in store.list("runs")]
        finished = [record for record in runs if record["status"] == "done"]
        problems = leftovers(place, store)
        if "Traceback" in place.errors.read_text(errors="replace"):
            problems.append("a traceback was printed")
            print(place.errors.read_text(errors="replace")[-6000:])
        for problem in problems:
            print("  LEFT:", problem, flush=True)
        outcome.problems += problems
        return results(store, finished[-1])
    finally:
        place.close()


def plan(on_s3: bool, number: int, minutes: float, seed: int) -> Plan:
    """Return `number` disturbances in random order, each kind about equally often."""
    kinds = [*EVERYWHERE, *(ON_S3 if on_s3 else {})]
    planned = [kinds[i % len(kinds)] for i in range(number)]
    random.Random(seed).shuffle(planned)
    return Plan(planned, time.monotonic() + 60 * minutes)


def described(outcome: Outcome) -> str:
    """Return an outcome as Markdown."""
    total = sum(outcome.disturbances.values())
    lines = [f"### On {outcome.name}", "", f"{outcome.runs} runs, {total} disturbances:", ""]
    lines += ["| disturbance | times |", "|---|---:|"]
    lines += [f"| {kind} | {times} |" for kind, times in sorted(outcome.disturbances.items())]
    lines += ["", "How the commands ended that were not killed (exit code and sentence):", ""]
    lines += ["| ended with | times |", "|---|---:|"]
    lines += [f"| {ending} | {times} |" for ending, times in sorted(outcome.endings.items())]
    lines += ["", f"Of each run, {outcome.compared} files were compared with those of the undisturbed run."]
    problems = outcome.problems or [
        "All are the same bit for bit; no process, temporary file, unfinished upload or held lease was left."
    ]
    return "\n".join([*lines, "", *problems, ""])


def main() -> None:
    """Run the soak, print its outcome, and exit with 1 if anything differs or is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--disturbances", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=60, help="of each store, until runs are left alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["folder", "s3"])
    parser.add_argument("--out", type=Path, help="file for the outcome, in Markdown")
    arguments = parser.parse_args()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the runs would ignore it if this ran under nohup
    places = [arguments.only] if arguments.only else ["folder", "s3"]
    if "s3" in places:
        SERVER.append(s3.new_server())
        os.environ.update(SERVER[0].environment)
    try:
        number, seed = arguments.disturbances // len(places), arguments.seed
        outcomes = [
            soak(on_s3, plan(on_s3, number, arguments.minutes, seed), seed)
            for on_s3 in (place == "s3" for place in places)
        ]
    finally:
        for server in SERVER:
            s3.discard(server)
    text = "\n".join(map(described, outcomes))
    print(text)
    if arguments.out:
        arguments.out.write_text(text)
    raise SystemExit(any(outcome.problems for outcome in outcomes))


if __name__ == "__main__":
    main()
