"""Disturb small runs and sweeps at random and compare them with those that nobody disturbs.

    python benchmarks/soak.py [--what runs|sweeps|trainings|trials] [--only folder|s3] [--disturbances 60]

Runs of one family, or sweeps, on a folder and on an S3 server, meet the faults of `faults.py`: their
processes are killed, stopped, slowed down and paused beyond their lease while another run takes over; they
lose their store, their disk, their Prefect server and their time for a while. The same command is given
again until it ends by itself. Afterwards the results must equal the undisturbed ones bit for bit, and no
process, temporary file, unfinished upload, held lease or half a publication may be left. Exits with 1
otherwise. A fault takes about a minute on two cores. As root, each folder is a small file system that can
be full; with a C compiler, the clock jumps.
"""

from __future__ import annotations

import argparse
import hashlib
import io
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
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
import forked
from faults import (
    FAULTS,
    LEASE,
    ON_A_CLOCK,
    ON_A_DISK,
    ON_A_PROCESS,
    ON_A_RUN,
    ON_S3,
    Place,
    PrefectServer,
    ended_by,
)
from faulty_s3 import FaultyS3
from forked import ForkedPlace

from components.records.sweep import SweepResult
from components.report.reading import read_course
from components.store import Store, numbered
from tests import s3
from tests.flows import driver

SETTINGS = {
    "train.steps": 3000,
    "train.checkpoint_every": 100,
    "evaluate.held_out_classes": "[]",
    "evaluate.latent_analysis": "false",
}
SWEEP: dict[str, Any] = driver.SWEEP | {
    "train": {"workers": 0, "steps": 600, "batch": 16, "precision": "float32", "checkpoint_every": 50},
    "sweep": driver.SWEEP["sweep"] | {"steps": 400, "confirmation_seeds": 1},
}
STAGES = ("extractor", "reference", "train", "trial", "evaluate", "export")  # whose results are compared
DISK = "512m"  # size of a place's own file system
TIMES = {"seconds", "work_seconds", "samples_per_second", "started", "ended", "run_id", "attempt", "files"}
VARIES = {"workers"}  # settings that change no result
EACH = 12  # disturbances of a run, at most
PLACES, WHAT = ("folder", "s3"), ("runs", "sweeps", *forked.WORK)
STARTS = 90  # at most, until a run must have ended by itself


@dataclass(frozen=True)
class Kind:
    """What is disturbed, and where."""

    what: str
    on_s3: bool

    @property
    def name(self) -> str:
        """The heading of its outcome."""
        return f"{self.what.capitalize()} on {'an S3 server' if self.on_s3 else 'a folder'}"

    @property
    def pauses(self) -> tuple[float, float]:
        """The least and the most seconds before a disturbance."""
        return (0.5, 4) if self.what in forked.WORK else (1, 20)

    @property
    def faults(self) -> list[str]:
        """What can happen to it."""
        faults = ON_A_PROCESS | (ON_S3 if self.on_s3 else {})
        if self.what not in forked.WORK:
            faults |= ON_A_RUN | (ON_A_CLOCK if CLOCK else {})
        return [*faults, *(ON_A_DISK if not self.on_s3 and os.geteuid() == 0 else {})]


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

    def next(self, done: int, most: int) -> str | None:
        """Return the next one of a run that has had `done` of `most`; None if it is left alone."""
        return self.kinds.pop(0) if self and done < most else None


def disturbed(place: Place, kind: Kind, planned: Plan, rng: random.Random) -> Counter[str]:
    """Run until a run ends by itself; return the number of disturbances by kind."""
    done: Counter[str] = Counter()
    process = place.start()
    while place.starts < STARTS:
        fault = None
        if not ended_by(process, rng.uniform(*kind.pauses)):
            fault = planned.next(done.total(), 3 * EACH if kind.what in forked.WORK else EACH)
        if fault is not None:
            print(f"  {time.strftime('%H:%M:%S')} {fault}", flush=True)
            process = FAULTS[fault](place, process, rng)
            done[fault] += 1
            continue
        ended_by(process, 900)
        place.ended(process)
        if process.returncode == 0:
            return done
        process = place.start()
    raise AssertionError(f"no run of {STARTS} ended by itself: {place.endings}")


# What must be the same, and what must not be left


def stages_of(store: Store) -> list[Mapping[str, Any]]:
    """Return the stages of the last run that is done; of what is no run, those that are finished."""
    runs = [store.read_json(f"runs/{run_id}/run.json") for run_id in store.list("runs")]
    if not runs:
        return forked.stages(store)
    stages: list[Mapping[str, Any]] = [record["stages"] for record in runs if record["status"] == "done"][-1]
    return stages


def results(store: Store, stages: list[Mapping[str, Any]]) -> dict[str, str]:
    """Return the hash of every result that has to repeat, by stage and file."""
    hashes = {}
    for stage in stages:
        if stage["name"] not in STAGES:
            continue
        uri = f"{stage['uri']}/attempts/{stage['attempt']}"
        attempt = store.child(uri)
        for path in ["result.json", *(entry["path"] for entry in attempt.read_json("result.json")["files"])]:
            if path == "README.md" or path.startswith("metrics/"):  # the first says how long it took
                continue
            data = attempt.read_bytes(path)
            if path.endswith((".json", ".jsonl")):
                values = map(json.loads, data.splitlines() if path.endswith("l") else [data])
                data = json.dumps([without_times(value) for value in values], sort_keys=True).encode()
            elif path.endswith(".png"):  # its text names the run
                data = Image.open(io.BytesIO(data)).tobytes()
            hashes[f"{stage['uri']}/{path}"] = hashlib.sha256(data).hexdigest()
        if rows := read_course(store, uri).rows:  # a notice cuts the files of metrics elsewhere
            hashes[f"{stage['uri']}/metrics"] = json.dumps(without_times(rows))
    for stage in stages:
        if stage["name"] == "sweep":
            result = store.read_json(f"{stage['uri']}/attempts/{stage['attempt']}/result.json")
            hashes["sweep"] = decided(SweepResult.model_validate(result["swept"]))
    if store.exists("values.json"):
        hashes["values"] = store.read_text("values.json")
    return hashes


def decided(sweep: SweepResult) -> str:
    """Return what a sweep has tried, measured and chosen, without when."""
    trials = [
        [trial.number, trial.values, trial.state, [point.value for point in trial.curve]]
        for trial in sweep.trials
    ]
    finalists = [[one.number, [seed.value for seed in one.repeats]] for one in sweep.finalists]
    assert trials and finalists and sweep.winner
    return json.dumps([trials, finalists, sweep.winner.number])


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
    left += [f"file {path}" for path in place.home.rglob(".tmp-*")]
    left += [f"half a publication {name}" for name in store.list("published") if not is_whole(store, name)]
    return left + unfinished_uploads(place)


def is_whole(store: Store, name: str) -> bool:
    """Return whether a publication has the files that its manifest lists, and no others."""
    published = store.child("published", name)
    manifest = published.read_json("manifest.json") if published.exists("manifest.json") else {"files": []}
    listed = {entry["path"]: entry["bytes"] for entry in manifest["files"]}
    return bool(listed) and {k: v for k, v in published.sizes().items() if k != "manifest.json"} == listed


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
PREFECT: list[PrefectServer] = []  # of every second pair of runs; the others start their own
CLOCK: list[Path] = []  # the compiled `clock.c`
TEMPLATE: list[Path] = []  # the store with which trainings and trials begin


def new_place(kind: Kind, number: int, seed: int) -> Place:
    """Return a place for a run, with its own proxy if it is on S3."""
    folder = Path(tempfile.mkdtemp(prefix="atelier-soak-"))
    make = ForkedPlace if kind.what in forked.WORK else Place
    place = make(folder, str(folder / "store"), {}, [])
    if PREFECT and number // 2 % 2:
        place.server = PREFECT[0]
    if CLOCK:
        place.clock = folder / "clock"
        place.clock.write_text("0")
        place.environment = {"LD_PRELOAD": str(CLOCK[0]), "CLOCK_FILE": str(place.clock)}
    if kind.on_s3:
        place.proxy = FaultyS3(SERVER[0].endpoint, seed)
        bucket = f"soak-{secrets.token_hex(6)}"
        SERVER[0].client().create_bucket(Bucket=bucket)
        place.store = f"s3://{bucket}/store"
        endpoint = {"AWS_ENDPOINT_URL": place.proxy.endpoint}
        place.environment = {**place.environment, **SERVER[0].environment, **endpoint}
    elif os.geteuid() == 0:
        place.disk = folder / "disk"
        place.disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place.disk)], check=True)
        place.store = str(place.disk / "store")
    if isinstance(place, ForkedPlace):
        Store(place.store).upload(TEMPLATE[0], "")
        place.work = partial(forked.WORK[kind.what], Store(place.store))
    else:
        place.command = command(kind, place, workers=number % 2)
    return place


def command(kind: Kind, place: Place, workers: int) -> list[str]:
    """Return the command of a place, after `atelier`; 0 workers train in the driver's process."""
    if kind.what == "sweeps":
        config = place.folder / "sweep.yaml"
        config.write_text(yaml.safe_dump(SWEEP | {"store": {"url": place.store}}))
        return ["sweep", str(config), "--json"]
    settings = {**SETTINGS, "train.workers": workers, "store.url": place.store}
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    return ["run", "tests/configs/tiny.yaml", "--json", "--only", "autoencoder", *sets]


def soak(kind: Kind, planned: Plan, seed: int) -> Outcome:
    """Disturb runs until all planned disturbances are done; return what happened."""
    rng, outcome = random.Random(seed), Outcome(kind.name)
    expected = run(new_place(kind, 0, seed), kind, Plan([], 0.0), rng, outcome)
    number = 0
    while planned:
        number += 1
        print(f"{number} of {outcome.name}, {len(planned.kinds)} to go", flush=True)
        got = run(new_place(kind, number, seed + number), kind, planned, rng, outcome)
        different = [name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name)]
        outcome.problems += [f"run {number}: {name} differs" for name in different]
        for problem in outcome.problems:
            print("  PROBLEM:", problem, flush=True)
    outcome.runs, outcome.compared = number, len(expected)
    return outcome


def run(place: Place, kind: Kind, planned: Plan, rng: random.Random, outcome: Outcome) -> dict[str, str]:
    """Return the hashes of a run's results; add its disturbances, endings and leftovers to the outcome."""
    try:
        outcome.disturbances += disturbed(place, kind, planned, rng)
        outcome.endings += place.endings
        store = Store(place.store)
        problems = leftovers(place, store) + place.problems
        if "Traceback" in place.errors.read_text(errors="replace"):
            problems.append("a traceback was printed")
            print(place.errors.read_text(errors="replace")[-6000:])
        outcome.problems += problems
        return results(store, stages_of(store))
    finally:
        place.close()


def plan(kind: Kind, number: int, minutes: float, seed: int, only: list[str] | None) -> Plan:
    """Return `number` disturbances in random order, each kind, or those of `only`, about equally often."""
    kinds = only or kind.faults
    random.Random(seed).shuffle(kinds)
    planned = [kinds[i % len(kinds)] for i in range(number)]
    random.Random(seed).shuffle(planned)
    return Plan(planned, time.monotonic() + 60 * minutes)


def described(outcome: Outcome) -> str:
    """Return an outcome as Markdown."""
    total = sum(outcome.disturbances.values())
    lines = [f"### {outcome.name}", "", f"{outcome.runs} ran, with {total} disturbances:", ""]
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


def begin(folder: Path, kinds: list[Kind]) -> None:
    """Start the servers that all runs share, and make their data or what lets their clocks jump."""
    if any(kind.on_s3 for kind in kinds):
        SERVER.append(s3.new_server())
        os.environ.update(SERVER[0].environment)
    if (what := kinds[0].what) in forked.WORK:
        TEMPLATE.append(forked.prepare(folder, what))
        return
    PREFECT.append(PrefectServer(folder / "prefect"))
    if compiler := shutil.which("cc"):
        source, library = Path(__file__).with_name("clock.c"), folder / "clock.so"
        subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        CLOCK.append(library)


def main() -> None:
    """Run the soak, print its outcome, and exit with 1 if anything differs or is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--disturbances", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=60, help="of each store, until runs are left alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=PLACES)
    parser.add_argument(
        "--what", choices=WHAT, default="runs", help="trainings, trials: without Prefect and Ray"
    )
    parser.add_argument("--fault", action="append", choices=FAULTS, help="only this one; several times")
    parser.add_argument("--out", type=Path, help="file for the outcome, in Markdown")
    arguments = parser.parse_args()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the runs would ignore it if this ran under nohup
    signal.signal(signal.SIGINT, signal.default_int_handler)  # and this in the background of a script
    kinds = [Kind(arguments.what, place == "s3") for place in PLACES if arguments.only in (place, None)]
    with tempfile.TemporaryDirectory(prefix="atelier-soak-", ignore_cleanup_errors=True) as folder:
        begin(Path(folder), kinds)
        try:
            number, seed = arguments.disturbances // len(kinds), arguments.seed
            outcomes = [
                soak(kind, plan(kind, number, arguments.minutes, seed, arguments.fault), seed)
                for kind in kinds
            ]
        finally:
            for server in SERVER:
                s3.discard(server)
            for prefect in PREFECT:
                prefect.kill()
    text = "\n".join(map(described, outcomes))
    print(text)
    if arguments.out:
        arguments.out.write_text(text)
    raise SystemExit(any(outcome.problems for outcome in outcomes))


if __name__ == "__main__":
    main()
