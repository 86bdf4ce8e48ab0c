"""Write run.json: identity, state, lineage and results of a run. One writer replaces the whole file."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from components.cluster.resources import processor
from components.common.errors import InputError
from components.common.hashing import json_sha256
from components.common.public import public, public_values
from components.config.experiment import Experiment
from components.pipeline.graph import STAGES
from components.pipeline.plan import Plan
from components.records.run import (
    DataLineage,
    FamilyResult,
    Hardware,
    Lineage,
    RunManifest,
    StageEntry,
    flat,
)
from components.stages.cache import Done
from components.stages.spec import Spec
from components.store import Store
from components.store.errors import MISSING_OR_TORN
from components.store.lease import Lease, lease, lease_seconds

PACKAGES = ("torch", "torchvision", "ray", "prefect", "dvc", "fsspec", "torchmetrics", "numpy", "safetensors")
OPTIONAL = frozenset(stage.name for stage in STAGES if stage.optional)
LOG = "log.jsonl"
MOST_LINES = 20_000
COMMIT, DIRTY = "ATELIER_COMMIT", "-dirty"
HEARTBEATS = 3  # in the time in which a lease expires


def now() -> str:
    """Return the current UTC time, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_id() -> str:
    """Return the id of a run that begins now."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class Record:
    """The manifest of a run in the store, whose lease it needs; thread-safe."""

    def __init__(self, store: Store, manifest: RunManifest, held: Lease):
        self.store, self.manifest = store.fenced(held.fence), manifest
        self._lock = threading.RLock()
        self._lines: list[str] = []  # of the log, as JSON
        self._stored = 0  # of them
        self._log = f"runs/{manifest.run_id}/{LOG}"
        with contextlib.suppress(*MISSING_OR_TORN):  # of an interrupted sweep
            self._lines += self.store.read_text(self._log).splitlines()
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._waits = False
        manifest.started = now()
        self.write()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def update(self, **content: Any) -> None:
        """Change entries and write the whole file."""
        with self._lock:
            self.manifest = RunManifest(**vars(self.manifest) | content)
            self.write()

    def line(self, text: str) -> None:
        """Add a line to the log, which the store gets with the next heartbeat."""
        with self._lock:
            self._lines.append(json.dumps({"time": now(), "text": public(text)}))

    def data(self, plan: Plan) -> None:
        """Record the data of the run."""
        card = plan.card.model_dump(
            include={"name", "licence", "credit", "counts", "labels", "resolution", "channels"}
        )
        self.manifest.lineage.data = DataLineage(
            **card, title=plan.card.heading, version=plan.version, hash=plan.card.hash
        )
        self.write()

    def stage(self, spec: Spec, state: str, **content: Any) -> None:
        """Record the state of a stage."""
        with self._lock:
            entry = self.manifest.stage(spec.stage, spec.family)
            if entry is None:
                entry = _entry(spec)
                self.manifest.stages.append(entry)
            changed = StageEntry(**vars(entry) | {"state": state, **content})
            self.manifest.stages[self.manifest.stages.index(entry)] = changed
            self.write()

    def done(self, spec: Spec, done: Done, started: float) -> None:
        """Record that a stage has its result, from this run or an earlier one."""
        cached = done.state == "cached"
        self.stage(
            spec,
            done.state,
            attempt=done.attempt,
            ended=now(),
            offset=started - self._began,
            seconds=0.0 if cached else done.seconds,
            work_seconds=0.0 if cached else done.work_seconds,
            cached_from=done.run_id if cached else None,
            sha256=done.sha256,
            bytes=done.bytes,
        )

    def result(self, result: FamilyResult) -> None:
        """Record the result of a family."""
        with self._lock:
            others = [r for r in self.manifest.results if r.family != result.family]
            self.update(results=[*others, result])

    def finish(self, status: str, error: str | None = None) -> None:
        """Record the end of the run and, if it failed as a whole, why."""
        self._ended.set()
        self.update(status=status, ended=now(), error=error)

    def write(self) -> None:
        """Replace run.json; raise LostLease if another process has taken over the run."""
        if self._waits:
            return
        with self._lock:
            self.manifest.heartbeat = now()
            if self.manifest.ended is None:
                self.manifest.seconds = round(time.monotonic() - self._began, 1)
            if len(self._lines) > self._stored:
                self.store.write_text(self._log, "\n".join(self._lines[-MOST_LINES:]) + "\n")
                self._stored = len(self._lines)
            self.store.write_json(f"runs/{self.manifest.run_id}/run.json", self.manifest.to_json())

    @contextmanager
    def writing_once(self) -> Iterator[None]:
        """Write run.json at the end of the block, which is short, instead of at each change."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False
            self.write()

    def _beat(self) -> None:
        while not self._ended.wait(lease_seconds() / HEARTBEATS):
            with contextlib.suppress(Exception):  # the next beat retries
                self.write()


@contextmanager
def sole_writer(store: Store, run_id: str) -> Iterator[Lease]:
    """Hold the lease of a run's record for the block, once that of a killed writer has expired.

    Raises:
        InputError: another process writes it.
    """

    def refuse() -> None:
        raise InputError(f"run {run_id} is running in another process; wait until it ends, or stop it")

    with lease(store, f"run-{run_id}", on_alive=refuse) as held:
        store.remove_unfinished(f"runs/{run_id}")
        yield held


def _entry(spec: Spec) -> StageEntry:
    """Return the entry of a stage that begins now."""
    return StageEntry(
        name=spec.stage,
        family=spec.family,
        optional=spec.stage in OPTIONAL,
        key=spec.key,
        uri=spec.uri,
        upstream=sorted(spec.upstream.values()),
        started=now(),
        seconds=0.0,
        work_seconds=0.0,
    )


def redacted(experiment: Experiment) -> Mapping[str, Any]:
    """Return the experiment as plain data without private paths and credentials."""
    content: Mapping[str, Any] = public_values(_settings(experiment))
    return {**content, "evaluate": {**content["evaluate"], "inception_path": None, "lpips_path": None}}


def withheld(experiment: Experiment) -> list[str]:
    """Return the settings that `redacted` removes or shortens, except the store, which a reader knows."""
    published = dict(flat(redacted(experiment)))
    complete = flat(_settings(experiment))
    return [name for name, value in complete if name != "store.url" and value != published[name]]


def _settings(experiment: Experiment) -> Mapping[str, Any]:
    """Return the experiment as plain data.

    It has neither the cluster and the tools that metrics are exported to, on which no result depends, nor the
    addresses that are notified, which are credentials.
    """
    return experiment.model_dump(mode="json", exclude={"cluster", "notify", "export_metrics"})


def lineage(home: Path, experiment: Mapping[str, Any]) -> Lineage:
    """Return the lineage of a run: code, data, settings, versions, hardware.

    It contains no path of this machine and no credentials.
    """
    versions: dict[str, str | None] = {package: _version(package) for package in PACKAGES}
    commit, dirty = commit_of(home)
    return Lineage(
        commit=commit,
        dirty=dirty,
        data=DataLineage(name=experiment["data"]["name"]),
        config=experiment,
        config_hash=json_sha256(experiment)[:16],
        versions={"python": platform.python_version(), **versions},
        hardware=hardware(),
    )


def commit_of(home: Path) -> tuple[str | None, bool]:
    """Return the commit of the code, and whether files differ from it.

    A copy of the code without its history has ATELIER_COMMIT instead: a commit, and "-dirty" if files differ.
    """
    if commit := _git(home, "rev-parse", "HEAD"):
        return commit, bool(_git(home, "status", "--porcelain", "--untracked-files=no"))
    recorded = os.environ.get(COMMIT, "")
    return recorded.removesuffix(DIRTY) or None, recorded.endswith(DIRTY)


def hardware() -> Hardware:
    """Return the hardware of this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Hardware(cpu=processor(), cores=os.cpu_count(), memory_gb=round(memory, 1), gpus=_gpus())


def _gpus() -> list[str]:
    try:
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        output = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return output.stdout.split("\n")[:-1] if output.returncode == 0 else []


def _git(home: Path, *arguments: str) -> str | None:
    try:
        output = subprocess.run(["git", *arguments], cwd=home, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return output.stdout.strip() if output.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
