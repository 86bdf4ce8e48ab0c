"""Trainings and trials in forked processes: they can be killed hundreds of times, since all is imported.

They are stages as in a run, with leases, attempts, uploads and checkpoints, but without Prefect and Ray.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from faults import LEASE, Place, Process
from sklearn.datasets import load_digits

from components.cluster import ray_cluster
from components.common.errors import InputError, RunError
from components.config.evaluate import Evaluate
from components.config.train import Train
from components.families.catalogue import config_of
from components.records.trial import ScheduleEntry, TrialReport
from components.stages import cache
from components.stages.spec import Spec
from components.store import Store
from components.training import ray_train
from components.training.request import TrainRequest
from components.tuning import trial
from flows import signals
from tests.small_data import make_reference, prepared

SHARED: dict[str, Any] = {"batch": 16, "precision": "float32", "workers": 0, "log_every": 10}
TRAINING = Train(**SHARED, steps=3000, checkpoint_every=100, snapshot_samples=0)
TRIAL = Train(**SHARED, steps=400, checkpoint_every=100, num_snapshots=4, snapshot_samples=64)
LEARNING_RATES = (2e-4, 1e-3, 5e-5)  # of the trials
SPEC = Spec("train", {"soak": 1}, {"data": "digits"}, family="autoencoder")


class Forked:
    """A function in a forked process, with what faults use of `Popen`; quick, since all is imported."""

    def __init__(self, function: Callable[[], int]):
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            gc.freeze()  # the sessions of the parent are not the child's to close
            try:
                os._exit(function())
            finally:
                os._exit(1)

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float = float("inf")) -> None:
        """Wait until it has ended; raise TimeoutExpired after these seconds."""
        until = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("forked", timeout)
            time.sleep(0.05)

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


@dataclass
class ForkedPlace(Place):
    """A place where a function stands in for the command."""

    work: Callable[[], None] = lambda: None
    forked: list[Forked] = field(default_factory=list)

    def start(self) -> Process:
        """Call the function in a new process, as the command would be run."""
        self.starts += 1
        self.forked.append(Forked(self._call))
        return self.forked[-1]

    def processes(self, *names: str) -> list[psutil.Process]:
        """Return the living processes."""
        return [psutil.Process(one.pid) for one in self.forked if one.poll() is None]

    def _call(self) -> int:
        signals.stop_on_signals()
        os.environ["ATELIER_LEASE_SECONDS"] = str(LEASE)
        with self.errors.open("a") as errors, contextlib.redirect_stderr(errors):
            try:
                with ThreadPoolExecutor(1) as pool:  # Prefect calls it in a thread too
                    pool.submit(self.work).result()
            except KeyboardInterrupt:
                return 130
            except (InputError, RunError) as error:
                print(f"atelier: {error}", file=sys.stderr)
                return 2 if isinstance(error, InputError) else 1
            except BaseException:
                traceback.print_exc()
                return 1
        return 0


def prepare(folder: Path, what: str) -> Path:
    """Return a new store with what trainings or trials need."""
    torch.set_num_threads(1)
    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 1, 8, 8) * 15.9375).round().astype(np.uint8)
    data = prepared(folder / "template" / "data", images, labels)
    if what == "trials":
        make_reference(data, folder / "template" / "reference", Evaluate(extractor_steps=16, samples=64))
    return folder / "template"


def training(store: Store, settings: Train = TRAINING) -> None:
    """Train an autoencoder as a run does."""

    def body(attempt: Store, number: int) -> Mapping[str, Any]:
        config, uri = (
            config_of("autoencoder", {"widths": [32, 16], "latent": 8}),
            f"{SPEC.uri}/attempts/{number}",
        )
        train = settings.model_dump(mode="json")
        job = TrainRequest("autoencoder", config, train, "data", uri, store.fenced(attempt.fence))
        ray_train.fit(job, "soak")
        return {}

    cache.run(store, SPEC, body, run_id="soak")


def trials(store: Store) -> None:
    """Try some learning rates, as a sweep does with one trial at a time, and note what each was worth."""
    config = config_of("dcgan", {"width": 8, "latent": 4})
    request = TrainRequest("dcgan", config, TRIAL.model_dump(mode="json"), "data", "", store)
    context = trial.TrialContext(
        "soak",
        Spec("trial", {}, {"soak": "1"}, family="dcgan"),
        replace(request, reference="reference", extractor="reference/extractor"),
        metric="kid",
        diversity=0.0,
        judgements=4,
        samples=64,
    )
    values: dict[str, list[float | None]] = {}
    for rate in LEARNING_RATES:
        values[str(rate)] = []

        def note(report: TrialReport, worth: list[float | None] = values[str(rate)]) -> None:
            ray_cluster.raise_if_interrupted(report.step, {}, None)  # Ray would end the trial's process
            worth.append(report.value)

        trial.trained(context, [ScheduleEntry(values={"lr": rate})], note)
    store.write_json("values.json", values)


WORK: dict[str, Callable[[Store], None]] = {"trainings": training, "trials": trials}


def stages(store: Store) -> list[Mapping[str, Any]]:
    """Return the finished stages, as the record of a run lists them."""
    folders = [path.removesuffix("/_SUCCESS") for path in store.find("store") if path.endswith("/_SUCCESS")]
    return [
        {"name": folder.split("/")[0], "uri": f"store/{folder}"} | store.read_json(f"store/{folder}/_SUCCESS")
        for folder in folders
    ]
