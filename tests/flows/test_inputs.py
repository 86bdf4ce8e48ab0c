"""Runs on other data, and in a store of another kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.flows.driver import TINY, WEIGHTS, Atelier, states

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(1200)]


def pictures(folder: Path, n: int, size: int, mode: str, classes: int = 0) -> Path:
    rng = np.random.default_rng(0)
    for i in range(n):
        low = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)
        image = Image.fromarray(low).resize((size, size), Image.Resampling.BICUBIC).convert(mode)
        target = folder / f"class {i % classes}" if classes else folder
        target.mkdir(parents=True, exist_ok=True)
        image.save(target / f"{i:03}.png")
    return folder


@pytest.mark.parametrize(
    ("name", "size", "classes", "extractor", "families"),
    [
        ("plain64", 64, 0, "rotation", ["autoencoder", "dcgan"]),
        ("kinds32", 32, 3, "classifier", ["diffusion", "vae"]),
    ],
)
def test_own_images(
    name: str, size: int, classes: int, extractor: str, families: list[str], fresh: Atelier, tmp_path: Path
) -> None:
    """The families of the default config run on unlabelled 64-pixel and on labelled 32-pixel RGB."""
    changes = (
        "--set",
        "families.diffusion.width=16",
        "--set",
        "families.diffusion.sampler_steps=2",
        "--set",
        "families.dcgan.width=8",
        "--set",
        f"data.name={name}",
        "--set",
        "train.workers=0",
        "--set",
        "evaluate.extractor_steps=16",
        "--set",
        "evaluate.ablation_samples=0",
        "--set",
        f"evaluate.latent_analysis={'false' if classes else 'true'}",  # with classes: tests of the pipeline
    )
    only = [part for family in families for part in ("--only", family)]
    source = pictures(tmp_path / "pictures", 120, size, "RGB", classes)
    fresh.call("data", "add", name, str(source), "--resolution", str(size))
    done = fresh.call("run", "--smoke", "--json", *fresh.settings((*changes, *only)))
    result = json.loads(done.stdout)
    assert result["status"] == "done"
    assert {r["family"] for r in result["results"]} == set(families)
    used = {m["extractor"] for r in result["results"] for m in r["metrics"].values()} - {None}
    assert used == {extractor}


def test_an_older_revision_of_the_data(fresh: Atelier, tmp_path: Path) -> None:
    one = pictures(tmp_path / "one", 100, 32, "L")
    fresh.call("data", "add", "growing", str(one), "--resolution", "32")
    before = json.loads(fresh.call("data", "versions", "growing", "--json").stdout)[0]["version"]
    two = pictures(tmp_path / "two", 140, 32, "L")
    fresh.call("data", "add", "growing", str(two), "--resolution", "32", "--replace")
    old = ["--smoke", "--only", "vae", "--set", "data.name=growing", *WEIGHTS]
    result = fresh.run(*old, "--set", f"data.revision={before[:10]}")
    record = json.loads((fresh.store / result["manifest"]).read_text())
    assert record["lineage"]["data"]["version"] == before
    assert sum(record["lineage"]["data"]["counts"].values()) == 100


@pytest.mark.s3
def test_a_store_in_s3(bucket: str, s3_env: Any, digits: Path, prefect_server: str, home: Path) -> None:
    """Everything in a bucket; a Ray of its own, since workers need the credentials from its start."""
    # a Prefect of its own too, as for a user who has none
    hidden = ("RAY_A", "PREFECT_API_URL", "PREFECT_HOME")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    command = [sys.executable, "-m", "flows.cli", "run", str(TINY), "--json", "--only", "vae", *WEIGHTS]
    command += ["--set", f"store.url=s3://{bucket}/atelier"]
    for expected in ("ran", "cached"):
        done = subprocess.run(command, capture_output=True, text=True, timeout=1000, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
        assert set(states(json.loads(done.stdout)).values()) == {expected}
        assert environment["AWS_SECRET_ACCESS_KEY"] not in done.stdout + done.stderr
