"""Runs that are interrupted: they end with the bits of one left in peace."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from tests.flows.driver import WEIGHTS, Atelier, step, until

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(1200)]

LONG = [*WEIGHTS, "--only", "autoencoder", "--set", "train.steps=1200", "--set", "train.micro_batches=2"]
LONG += ["--set", "train.checkpoint_every=50", "--set", "train.validate_every=200"]


def under_ray(workers: str) -> list[str]:
    """The same training by workers of Ray Train; their number does not enter its key."""
    return [*LONG, "--set", f"train.workers={workers}"]


def start_and_kill_a_worker(atelier: Atelier, settings: list[str]) -> subprocess.Popen[str]:
    """Start a run, kill its first worker, and return the run once the worker has been replaced."""
    process = atelier.start(*settings)
    until(lambda: step(atelier) > 0)
    note = json.loads(next(atelier.store.glob("store/train/*/attempts/*/progress.json")).read_text())
    assert note["step"] < note["steps"]
    os.kill(note["pid"], signal.SIGKILL)
    reached = step(atelier)
    until(lambda: step(atelier) > reached + 50)
    return process


def test_a_training_interrupted_in_every_way_ends_with_the_same_bits(
    fresh: Atelier, undisturbed: Atelier
) -> None:
    """One of two workers is killed, then comes Ctrl-C, then the driver of one worker is killed.

    One process ends it, against one with both shards, outside of Ray, that nobody disturbs. When a driver has
    died, Ray keeps for three minutes what it reserved: here one of two cores, so that nothing waits for it.
    """
    undisturbed.run(*LONG)

    process = start_and_kill_a_worker(fresh, under_ray("[1, 2]"))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130 and "run the same command again" in errors
    record = json.loads(next(fresh.store.glob("runs/*/run.json")).read_text())
    assert record["status"] == "interrupted"
    assert not fresh.weights("autoencoder"), "it was over before it could be interrupted"

    reached, process = step(fresh), fresh.start(*under_ray("1"))
    until(lambda: step(fresh) > reached + 50)
    process.kill()
    process.communicate()
    assert not fresh.weights("autoencoder"), "it was over before it could be killed"

    assert fresh.run(*LONG)["status"] == "done"
    assert fresh.weights("autoencoder") == undisturbed.weights("autoencoder")
