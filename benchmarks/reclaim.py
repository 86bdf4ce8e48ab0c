"""Take nodes and workers away from a training on a cluster, and count the steps that it does again.

    python benchmarks/reclaim.py [--fault NAME] [--out FILE]

A small autoencoder trains under Ray Train with `workers: [1, 2]` on a head and two nodes of one CPU each
(`tests/nodes.py`), with an S3 server as the store. Each fault meets a training of its own, at a steady pace;
then the training ends at full speed. Workers note their steps, so those that are done again are counted. The
weights are compared with those of one undisturbed process. Exits with 1 if they differ, if a training fails,
or if it does more than two checkpoint intervals again. A fault takes about three minutes on two free cores.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors.torch import load

sys.path.insert(0, str(Path(__file__).parents[1]))
import forked
from faults import ROOT
from faulty_s3 import FaultyS3
from forked import ForkedPlace

from components.cluster.ray_cluster import PREEMPTION_WATCHER
from components.config.train import Train
from components.store import Store
from components.training import ray_train
from components.training.trainer import Trainer
from tests import s3
from tests.nodes import Nodes, nodes

EVERY = 100  # steps between checkpoints
PACE = 0.1  # seconds added to each step until the fault is over
NOTICE = 25  # seconds between a notice and the end of the node
AWARE = 8  # seconds until the workers know of a notice
PATIENCE = 900.0  # seconds until something must have happened
SETTINGS = {"micro_batches": 2, "snapshot_samples": 0, "steps": 1500, "checkpoint_every": EVERY}
ALONE = Train(**forked.SHARED | SETTINGS)
ELASTIC = Train(**forked.SHARED | SETTINGS | {"workers": (1, 2)})
FIELDS = 6  # of a note

Node = subprocess.Popen[bytes]
Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Step:
    """A step that a worker has done."""

    time: float
    number: int
    rank: int
    workers: int
    pid: int


def noting(folder: Path) -> Callable[[Mapping[str, Any]], None]:
    """Return the function of a worker that also notes each step in a file of this machine."""

    def worker(config: Mapping[str, Any]) -> None:
        step = Trainer.step

        def noted(trainer: Trainer, data: Any) -> None:
            step(trainer, data)
            number, group = trainer.control.step, trainer.group
            with (folder / "steps").open("a") as file:
                file.write(f"{time.time()} {number} {group.rank} {group.size} {os.getpid()} end\n")
            if (folder / "slow").exists():
                time.sleep(PACE)

        Trainer.step = noted  # type: ignore[assignment, method-assign]
        ray_train._worker(config)

    return worker


def train(store: Store, folder: Path) -> None:
    """Train on the cluster of RAY_ADDRESS."""
    os.environ["ATELIER_LEASE_SECONDS"] = "30"
    ray_train._worker = noting(folder)  # type: ignore[assignment]
    forked.training(store, ELASTIC)


def done_again(numbers: Sequence[int]) -> int:
    """Return how many of these steps, in the order of time, had been done before."""
    highest = itertools.accumulate(numbers, max)
    return sum(number <= before for number, before in zip(numbers[1:], highest, strict=False))


def groups(steps: Sequence[Step]) -> list[list[Step]]:
    """Return steps by the process that did them."""
    return [list(part) for _, part in itertools.groupby(steps, lambda step: step.pid)]


@dataclass
class Disturbed:
    """A training, and the cluster on which it runs."""

    cluster: Nodes
    place: ForkedPlace
    process: Any
    before: set[int] = field(default_factory=set)  # first workers that are to be replaced

    @property
    def steps(self) -> list[Step]:
        """The steps of the first worker until now."""
        notes = self.place.folder / "steps"
        lines = [line.split() for line in notes.read_text().splitlines()] if notes.exists() else []
        whole = [line[:-1] for line in lines if len(line) == FIELDS and line[-1] == "end"]
        steps = [Step(float(at), *map(int, numbers)) for at, *numbers in whole]
        return [step for step in steps if step.rank == 0]

    @property
    def node(self) -> Node:
        """The node of the first worker, which stores the checkpoints."""
        family = {
            id(node): psutil.Process(node.pid).children(recursive=True) for node in self.cluster.processes
        }
        pid = self.steps[-1].pid
        return next(n for n in self.cluster.processes if pid in [one.pid for one in family[id(n)]])

    def until(self, condition: Callable[[], Any], title: str) -> None:
        """Wait for something; raise AssertionError if it does not happen in time or before the end."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, f"the training ended before {title}: {self.error}"
            assert time.monotonic() < end, f"{title} did not happen within {PATIENCE:g} s"
            time.sleep(0.2)

    def reach(self, number: int) -> None:
        """Wait until two workers have done a step of this number or later."""
        self.until(
            lambda: any(step.number >= number and step.workers == 2 for step in self.steps[-1:]),
            f"step {number} with two workers",
        )
        self.before = {step.pid for step in self.steps}

    def go_on(self, workers: int) -> None:
        """Wait until other processes than before, as many as named, have done half an interval."""

        def condition() -> bool:
            newest = groups(self.steps)[-1]
            replaced = newest[-1].pid not in self.before and newest[-1].workers == workers
            return replaced and len(newest) > EVERY / 2

        self.until(condition, f"a restart with {workers} workers")
        self.before = {step.pid for step in self.steps}

    def notify(self, node: Node, seconds: int = NOTICE) -> float:
        """Tell Ray that a node ends after so many seconds; return when that is, by `time.monotonic`."""
        options = raylet_of(node).cmdline()
        identity = next(part.partition("=")[2] for part in options if part.startswith("--node_id="))
        command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--node-id", identity]
        command += ["--address", self.cluster.address, "--deadline-remaining-seconds", str(seconds)]
        command += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
        subprocess.run(command, check=True, capture_output=True)
        return time.monotonic() + seconds

    def lose(self, node: Node, at: float = 0.0) -> None:
        """Kill a node at a time by `time.monotonic`, and wait until one worker goes on."""
        time.sleep(max(0.0, at - time.monotonic()))
        self.cluster.lose(node)
        self.go_on(workers=1)

    @property
    def error(self) -> str:
        """The end of what the training has printed."""
        return self.place.errors.read_text(errors="replace")[-2000:]


def raylet_of(node: Node) -> psutil.Process:
    """Return the raylet of a node."""
    return next(p for p in psutil.Process(node.pid).children(recursive=True) if p.name() == "raylet")


# The faults


def kill_worker(training: Disturbed) -> None:
    """SIGKILL of the first worker."""
    psutil.Process(training.steps[-1].pid).kill()
    training.go_on(workers=2)


def terminate_worker(training: Disturbed) -> None:
    """SIGTERM of the first worker."""
    psutil.Process(training.steps[-1].pid).terminate()
    training.go_on(workers=2)


def kill_raylet(training: Disturbed) -> None:
    """SIGKILL of a raylet, whose workers then end."""
    node = training.node
    raylet_of(node).kill()
    training.go_on(workers=1)
    training.cluster.lose(node)


def lose_node(training: Disturbed) -> None:
    """All processes of a node are gone without a notice."""
    training.lose(training.node)


def reclaim(training: Disturbed) -> None:
    """A notice, and the node is gone when its time is over."""
    node = training.node
    training.lose(node, training.notify(node))


def replace(training: Disturbed) -> None:
    """The same; then another node comes."""
    reclaim(training)
    training.cluster.add(random.randrange(10**6))
    training.go_on(workers=2)


def reclaim_late(training: Disturbed) -> None:
    """A notice, and the node is gone half a minute after its time is over."""
    node = training.node
    training.lose(node, training.notify(node) + 30)


def notify_twice(training: Disturbed) -> None:
    """A notice, and another one that leaves less time."""
    node = training.node
    training.notify(node, 60)
    training.lose(node, training.notify(node, 15))


def notify_slowly(training: Disturbed) -> None:
    """The store is slow from before a checkpoint until the node is gone."""
    node, number = training.node, training.steps[-1].number
    assert training.place.proxy
    training.place.proxy.fault = "slow"
    try:
        training.reach(number + EVERY - number % EVERY)
        training.lose(node, training.notify(node))
    finally:
        training.place.proxy.fault = "none"


def notify_in_checkpoint(training: Disturbed) -> None:
    """The store is away from before a checkpoint until some seconds after the notice."""
    node, number = training.node, training.steps[-1].number
    assert training.place.proxy
    training.place.proxy.fault = "away"
    try:
        training.reach(number + EVERY - number % EVERY + 1)
        end = training.notify(node)
        time.sleep(AWARE)
    finally:
        training.place.proxy.fault = "none"
    training.lose(node, end)


FAULTS: dict[str, Callable[[Disturbed], None]] = {
    "worker killed": kill_worker,
    "worker terminated": terminate_worker,
    "raylet killed": kill_raylet,
    "node gone without a notice": lose_node,
    "notice, node gone in time": reclaim,
    "notice, node gone in time, another comes": replace,
    "notice, node gone half a minute late": reclaim_late,
    "two notices": notify_twice,
    "notice while the store is slow": notify_slowly,
    "notice while a checkpoint waits for its store": notify_in_checkpoint,
}


# The table

HEADER = [
    "fault",
    "workers",
    "extra checkpoint",
    "resumed after step",
    "steps done again",
    "checkpoint intervals",
    "seconds without a step",
    "weights",
]


def weights(store: Store) -> Weights:
    """Return the weights that a finished training has stored."""
    (path,) = (path for path in store.find("store") if path.endswith("model/model.safetensors"))
    return load(store.read_bytes(f"store/{path}"))


def compared(one: Weights, other: Weights) -> str:
    """Return whether weights have the same bits, else how far they are from each other."""
    if all(torch.equal(one[name], other[name]) for name in one):
        return "the same bits"
    return f"differ by {max(float((one[name] - other[name]).abs().max()) for name in one):.1g}"


def extra_checkpoints(store: Store) -> list[int]:
    """Return the steps with a checkpoint that was not due; each ends a file of metrics."""
    parts = [path for path in store.find("store") if "/metrics/part-" in path]
    ends = sorted(int(Path(path).stem.split("-")[2]) for path in parts)
    return [end for end in ends if end % EVERY]


def row(name: str, steps: Sequence[Step], store: Store, expected: Weights) -> list[str]:
    """Return a row of the table."""
    parts, again = groups(steps), done_again([step.number for step in steps])
    pauses = [after[0].time - before[-1].time for before, after in itertools.pairwise(parts)]
    return [
        name,
        " → ".join(str(part[0].workers) for part in parts),
        ", ".join(map(str, extra_checkpoints(store))) or "none",
        ", ".join(str(part[0].number - 1) for part in parts[1:]),
        str(again),
        f"{again / EVERY:.2f}",
        ", ".join(f"{pause:.0f}" for pause in pauses),
        compared(weights(store), expected),
    ]


def disturb(name: str, cluster: Nodes, folder: Path, server: s3.Server, proxy: FaultyS3) -> Disturbed:
    """Train with one fault, to the end; raise AssertionError if that fails."""
    folder.mkdir()
    (folder / "slow").touch()
    bucket = f"reclaim-{secrets.token_hex(6)}"
    server.client().create_bucket(Bucket=bucket)
    store = Store(f"s3://{bucket}/store")
    store.upload(folder.parent / "template", "")
    place = ForkedPlace(folder, store.url, {}, [], proxy, work=partial(train, Store(store.url), folder))
    training = Disturbed(cluster, place, place.start())
    try:
        training.reach(int(EVERY * random.uniform(2.2, 2.8)))
        FAULTS[name](training)
        (folder / "slow").unlink()
        training.process.wait(PATIENCE)
        assert training.process.returncode == 0, training.error
    finally:
        training.process.kill()
        training.process.wait()
    return training


def begin(folder: Path) -> tuple[s3.Server, FaultyS3, Weights]:
    """Start the store, and return it with its proxy and the weights of an undisturbed training."""
    os.environ.pop(PREEMPTION_WATCHER, None)  # the tests turn it off
    os.environ["PYTHONPATH"] = str(ROOT)
    alone = Store(folder / "alone")
    alone.upload(forked.prepare(folder, "trainings"), "")
    forked.training(alone, ALONE)
    server = s3.new_server()
    proxy = FaultyS3(server.endpoint)
    os.environ.update(server.environment | {"AWS_ENDPOINT_URL": proxy.endpoint})
    (folder / "nodes").mkdir()
    return server, proxy, weights(alone)


def main() -> None:
    """Meet all faults, print the table, and exit with 1 if anything is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--fault", action="append", choices=FAULTS, help="only this one; several times")
    parser.add_argument("--out", type=Path, help="file for the table, in Markdown")
    arguments = parser.parse_args()
    rows: list[list[str]] = []
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="reclaim-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        server, proxy, expected = begin(folder)
        try:
            with nodes(folder / "nodes", {}) as cluster:
                os.environ["RAY_ADDRESS"] = cluster.address
                for fault in arguments.fault or FAULTS:
                    print(f"{time.strftime('%H:%M:%S')} {fault}", flush=True)
                    while len(cluster.processes) < 3:
                        cluster.add(random.randrange(10**6))
                    cluster.until(cluster.whole)
                    try:
                        training = disturb(fault, cluster, folder / fault.replace(" ", "-"), server, proxy)
                    except AssertionError as error:
                        problems.append(f"{fault}: {error}")
                        print("  PROBLEM:", problems[-1], flush=True)
                        continue
                    rows.append(row(fault, training.steps, Store(training.place.store), expected))
                    print("  " + " | ".join(rows[-1]), flush=True)
        finally:
            s3.discard(server)
    problems += [f"{one[0]}: {one[5]} intervals" for one in rows if float(one[5]) > 2]
    problems += [f"{one[0]}: the weights {one[7]}" for one in rows if one[7] != "the same bits"]
    text = "\n".join(f"| {' | '.join(one)} |" for one in [HEADER, ["---"] * len(HEADER), *rows])
    print("\n".join(["", text, "", *problems]))
    if arguments.out:
        arguments.out.write_text(text + "\n")
    raise SystemExit(bool(problems))


if __name__ == "__main__":
    main()
