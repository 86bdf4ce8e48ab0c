"""The command line as tests drive it, and what they ask of a store."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import yaml
from PIL import Image
from prefect.settings import PREFECT_API_URL, temporary_settings

from components.cluster import ray_cluster
from flows.cli import app
from flows.signals import SIGNALS

TINY = Path(__file__).parents[1] / "configs" / "tiny.yaml"
WEIGHTS = (
    "--set",
    "evaluate.held_out_classes=[]",
    "--set",
    "evaluate.latent_analysis=false",
)  # only what is trained is compared

SWEEP: dict[str, Any] = {
    "data": {"name": "digits"},
    "families": {"dcgan": {"width": 8, "latent": 8}},
    "train": {"workers": 0, "steps": 16, "batch": 16, "precision": "float32", "sample_images": 20},
    "evaluate": {"samples": 64, "extractor_steps": 16, "classifier_steps": 8, "ablation_samples": 0},
    "sweep": {
        "search": {"lr": None, "beta1": [0.0, 0.5]},
        "trials": 4,
        "steps": 8,
        "evaluations": 4,
        "grace_period": 1,
        "samples": 64,
        "min_diversity": 0,
        "finalists": 2,
        "finalist_samples": 64,
        "confirmation_seeds": 1,
    },
}


class Atelier:
    """The command line, in the session's home, with the session's Prefect and Ray."""

    def __init__(self, store: Path):
        self.store = store

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "flows.cli", *arguments]

    def run(self, *arguments: str, code: int = 0, **environment: str) -> Any:
        """`atelier run --json`; the parsed result."""
        done = self.call("run", str(TINY), "--json", *self.settings(arguments), code=code, **environment)
        return json.loads(done.stdout)

    def settings(self, arguments: tuple[str, ...]) -> list[str]:
        return ["--set", f"store.url={self.store}", *arguments]

    def call(self, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Give a command, in a process of its own if it needs another environment."""
        return (
            self.outside(*arguments, code=code, **environment)
            if environment
            else self.inside(*arguments, code=code)
        )

    def outside(self, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Give a command as users do."""
        done = subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            timeout=1000,
            env={**os.environ, **environment},
        )
        assert done.returncode == code, done.stderr[-3000:]
        assert "Traceback" not in done.stderr
        return done

    def inside(self, *arguments: str, code: int) -> subprocess.CompletedProcess[str]:
        """The same in this process, which has imported torch and joined the cluster with warm workers."""
        out, err = io.StringIO(), io.StringIO()
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        server = {PREFECT_API_URL: os.environ.get("PREFECT_API_URL")}
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch.dict(os.environ),
            mock.patch.object(ray_cluster, "disconnect"),
            temporary_settings(updates=server),
            pytest.raises(SystemExit) as end,
        ):
            app.main(arguments)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        assert int(end.value.code or 0) == code, err.getvalue()
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = self.command("run", str(TINY), "--json", *self.settings(arguments))
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def weights(self, family: str) -> list[str]:
        """Hashes of every finished training's weights."""
        files = sorted(self.store.glob("store/train/*/attempts/*/model/model.safetensors"))
        of = [f for f in files if json.loads((f.parent / "config.json").read_text())["family"] == family]
        return [hashlib.sha256(f.read_bytes()).hexdigest() for f in of]


class Sweeps(Atelier):
    """`atelier sweep` on a config of its own."""

    def config(self, **changes: Any) -> Path:
        path = self.store.parent / f"{self.store.name}.yaml"
        settings = SWEEP | {"store": {"url": str(self.store)}}
        path.write_text(yaml.safe_dump(settings | {"sweep": settings["sweep"] | changes}))
        return path

    def sweep(self, *arguments: str, code: int = 0, **changes: Any) -> Any:
        done = self.call("sweep", str(self.config(**changes)), "--json", *arguments, code=code)
        return json.loads(done.stdout)

    def files(self) -> dict[str, float]:
        """When the results of trials were written."""
        paths = self.store.glob("store/trial/*/attempts/*/result.json")
        return {str(path): path.stat().st_mtime for path in paths}


def states(result: dict[str, Any]) -> dict[str, str]:
    return {f"{s['name']} {s['family'] or ''}".strip(): s["state"] for s in result["stages"]}


def until(condition: Callable[[], Any], seconds: float = 300, pause: float = 0.02) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(pause)
    raise AssertionError("it did not happen in time")


def step(atelier: Atelier) -> int:
    """The step of the newest checkpoint."""
    checkpoints = atelier.store.glob("store/train/*/attempts/*/checkpoints/step-*.pt")
    return max((int(path.stem.removeprefix("step-")) for path in checkpoints), default=0)


def pngs(folder: Path, images: np.ndarray, labels: np.ndarray | None = None) -> Path:
    for i, image in enumerate(images):
        target = folder if labels is None else folder / str(labels[i])
        target.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(target / f"{i:04}.png")
    return folder
