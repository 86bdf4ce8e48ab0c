"""run.json: one writer, replaced whole. What a run is, where it stands, and all it came from."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import threading
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from components.common.hashing import json_sha256
from components.config.experiment import Experiment
from components.pipeline.graph import STAGES
from components.pipeline.plan import Plan
from components.stages.cache import Done
from components.stages.spec import Spec
from components.store import Store

PACKAGES = ("torch", "torchvision", "ray", "prefect", "dvc", "fsspec", "torchmetrics", "numpy", "safetensors")
OPTIONAL = frozenset(stage.name for stage in STAGES if stage.optional)
HEARTBEAT = 10.0  # seconds


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Record:
    """The manifest of a run in the store; safe to use from several threads."""

    def __init__(self, store: Store, run_id: str, content: dict[str, Any]):
        self.store, self.run_id = store, run_id
        self._lock = threading.RLock()
        self._began = time.time()
        self._ended = threading.Event()
        self.content: dict[str, Any] = {
            "schema": 1,
            "run_id": run_id,
            "status": "running",
            "started": now(),
            "ended": None,
            "seconds": 0.0,
            "stages": [],
            "results": [],
            "table": [],
            "report": None,
            "published": None,
            **content,
        }
        self.write()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def update(self, **content: Any) -> None:
        """Change entries and write the whole file."""
        with self._lock:
            self.content.update(content)
            self.write()

    def data(self, plan: Plan) -> None:
        """Say which data the run reads."""
        known = plan.card.model_dump(
            include={"name", "title", "licence", "credit", "counts", "labels", "resolution", "channels"}
        )
        data = known | {"version": plan.version, "hash": plan.card.hash}
        self.update(lineage=self.content["lineage"] | {"data": data})

    def stage(self, spec: Spec, state: str, **content: Any) -> None:
        """Say where a stage stands."""
        with self._lock:
            entry = self._entry(spec)
            entry.update(state=state, **content)
            self.write()

    def done(self, spec: Spec, done: Done, started: float) -> None:
        """A stage has its result, from this run or an earlier one."""
        cached = done.state == "cached"
        seconds = 0.0 if cached else done.seconds
        self.stage(
            spec,
            done.state,
            attempt=done.attempt,
            ended=now(),
            offset=started - self._began,
            seconds=seconds,
            work_seconds=0.0 if cached else done.work_seconds,
            cached_from=done.run_id if cached else None,
            sha256=done.sha256,
            bytes=done.bytes,
        )

    def result(self, result: dict[str, Any]) -> None:
        """A family has its numbers."""
        with self._lock:
            others = [r for r in self.content["results"] if r["family"] != result["family"]]
            self.update(results=[*others, result])

    def finish(self, status: str) -> None:
        """Give the run its end."""
        self._ended.set()
        self.update(status=status, ended=now())

    def write(self) -> None:
        """Replace run.json."""
        with self._lock:
            self.content["heartbeat"] = now()
            if self.content["ended"] is None:
                self.content["seconds"] = round(time.time() - self._began, 1)
            self.store.write_json(f"runs/{self.run_id}/run.json", self.content)

    def _entry(self, spec: Spec) -> dict[str, Any]:
        for entry in self.content["stages"]:
            if entry["name"] == spec.stage and entry["family"] == spec.family:
                return entry
        entry = {
            "name": spec.stage,
            "family": spec.family,
            "optional": spec.stage in OPTIONAL,
            "key": spec.key,
            "uri": spec.uri,
            "upstream": sorted(spec.upstream.values()),
            "state": "waiting",
            "started": now(),
            "ended": None,
            "seconds": 0.0,
            "work_seconds": 0.0,
            "cached_from": None,
            "error": None,
        }
        self.content["stages"].append(entry)
        return entry

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            self.write()


def redacted(experiment: Experiment) -> dict[str, Any]:
    """The experiment as plain data that others may see."""
    content = experiment.model_dump(mode="json")
    content["store"]["url"] = public(content["store"]["url"])
    content["publish"]["url"] = content["publish"]["url"] and public(content["publish"]["url"])
    content["evaluate"] |= {"inception_path": None, "lpips_path": None}
    if content["evaluate"]["custom"]:
        content["evaluate"]["custom"]["weights"] = public(content["evaluate"]["custom"]["weights"])
    return content


def withheld(experiment: Experiment) -> list[str]:
    """The settings that `redacted` leaves out or shortens, but for the store, which a reader has found."""
    whole, shown = experiment.model_dump(mode="json"), redacted(experiment)
    names = ("publish.url", "evaluate.inception_path", "evaluate.lpips_path", "evaluate.custom")
    sections = ((name, *name.split(".")) for name in names)
    return [name for name, section, key in sections if whole[section][key] != shown[section][key]]


def public(text: str) -> str:
    """Text without user:password@ in URLs, and without the folders above an absolute path's last name."""
    text = re.sub(r"(\w+://)[^/@\s]*@", r"\1", text)
    return re.sub(r"(^|=)(?:file://)?/(?:[^/\s]+/)+", r"\1", text)


def lineage(home: Path, experiment: dict[str, Any]) -> dict[str, Any]:
    """All a result came from: code, data, settings, versions, hardware.

    No path of this machine, no credential.
    """
    return {
        "commit": _git(home, "rev-parse", "HEAD"),
        "dirty": bool(_git(home, "status", "--porcelain", "--untracked-files=no")),
        "data": {"name": experiment["data"]["name"]},
        "config": experiment,
        "config_hash": json_sha256(experiment)[:16],
        "versions": {"python": platform.python_version()} | {p: _version(p) for p in PACKAGES},
        "hardware": hardware(),
    }


def hardware() -> dict[str, Any]:
    """What this machine computes with."""
    cpu = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            cpu = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), cpu)
    except OSError:
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cpu": cpu, "cores": os.cpu_count(), "memory_gb": round(memory, 1), "gpus": _gpus()}


def _gpus() -> list[str]:
    try:
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return found.stdout.split("\n")[:-1] if found.returncode == 0 else []


def _git(home: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=home, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
