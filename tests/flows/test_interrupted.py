"""Runs that are interrupted or fail, and runs side by side: they end with the bits of one left in peace."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from tests.flows.driver import WEIGHTS, Atelier, states, step, until

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
    """One of two workers is killed, then comes Ctrl-C, then the driver is killed, and one worker ends it.

    Against one process with both shards, outside of Ray, that nobody disturbs. Elastic workers begin: when
    a driver has died, Ray keeps what it reserved for three minutes, for which only elastic workers wait.
    """
    undisturbed.run(*LONG)

    process = start_and_kill_a_worker(fresh, under_ray("[1, 2]"))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130 and "run the same command again" in errors
    record = json.loads(next(fresh.store.glob("runs/*/run.json")).read_text())
    assert record["status"] == "interrupted"
    assert not fresh.weights("autoencoder"), "it was over before it could be interrupted"

    reached, process = step(fresh), fresh.start(*under_ray("2"))
    until(lambda: step(fresh) > reached + 50)
    process.kill()
    process.communicate()
    assert not fresh.weights("autoencoder"), "it was over before it could be killed"

    assert fresh.run(*under_ray("1"))["status"] == "done"
    assert fresh.weights("autoencoder") == undisturbed.weights("autoencoder")


def test_two_identical_runs_share_the_work(fresh: Atelier) -> None:
    both = [fresh.start("--only", "vae", *WEIGHTS) for _ in range(2)]
    results = [json.loads(process.communicate(timeout=1000)[0]) for process in both]
    trained = sorted(states(result)["train vae"] for result in results)
    assert trained == ["cached", "ran"]
    assert len(fresh.weights("vae")) == 1


def test_a_failed_family_leaves_the_others_published(fresh: Atelier) -> None:
    bad = [*WEIGHTS, "--only", "autoencoder", "--only", "vae", "--set"]
    result = fresh.run(*bad, "families.vae.lr=1e30", code=1)
    assert result["status"] == "partial"
    assert states(result)["train vae"] == "failed" and states(result)["publish"] == "ran"
    record = json.loads((fresh.store / result["manifest"]).read_text())
    error = next(s["error"] for s in record["stages"] if s["state"] == "failed")
    assert "became nan" in error or "became inf" in error
    assert "learning rate" in (fresh.store / result["report"]).read_text()
    published = fresh.store / "published" / result["run_id"] / "models"
    assert [p.name for p in published.iterdir()] == ["autoencoder"]
    again = fresh.run(*bad, "families.vae.lr=1e-3")
    assert again["status"] == "done" and states(again)["train autoencoder"] == "cached"
