"""Runs on other data, and in a store of another kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.flows.driver import TINY, WEIGHTS, Atelier, states
from tests.s3 import Server

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


SMALL = [
    "families.diffusion.width=16",
    "families.diffusion.sampler_steps=2",
    "families.dcgan.width=8",
    "train.workers=0",
    "evaluate.extractor_steps=16",
    "evaluate.ablation_samples=0",
]


def run_on(name: str, store: Atelier, families: list[str], *changes: str) -> dict[str, Any]:
    """The result of a smoke run of families of the default config on a data set."""
    arguments = [part for change in (f"data.name={name}", *SMALL, *changes) for part in ("--set", change)]
    arguments += [part for family in families for part in ("--only", family)]
    done = store.call("run", "--smoke", "--json", *store.settings(tuple(arguments)))
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["status"] == "done"
    assert {r["family"] for r in result["results"]} == set(families)
    return result


def extractors(result: dict[str, Any]) -> set[str]:
    return {m["extractor"] for r in result["results"] for m in r["metrics"].values()} - {None}


def test_own_images_of_64_pixels_without_labels(fresh: Atelier, tmp_path: Path) -> None:
    source = pictures(tmp_path / "pictures", 120, 64, "RGB")
    fresh.call("data", "add", "plain64", str(source), "--resolution", "64")
    assert extractors(run_on("plain64", fresh, ["autoencoder", "dcgan"])) == {"rotation"}


def test_own_images_of_three_kinds_in_an_older_revision(fresh: Atelier, tmp_path: Path) -> None:
    one = pictures(tmp_path / "one", 120, 32, "RGB", classes=3)
    fresh.call("data", "add", "kinds32", str(one), "--resolution", "32")
    before = json.loads(fresh.call("data", "versions", "kinds32", "--json").stdout)[0]["version"]
    two = pictures(tmp_path / "two", 140, 32, "RGB", classes=3)
    fresh.call("data", "add", "kinds32", str(two), "--resolution", "32", "--replace")
    # The latent analysis of data with classes is part of the tests of the pipeline.
    changes = (f"data.revision={before[:10]}", "evaluate.latent_analysis=false")
    result = run_on("kinds32", fresh, ["diffusion", "vae"], *changes)
    assert extractors(result) == {"classifier"}
    record = json.loads((fresh.store / result["manifest"]).read_text())
    assert record["lineage"]["data"]["version"] == before
    assert sum(record["lineage"]["data"]["counts"].values()) == 120


@pytest.mark.s3
def test_a_store_in_s3(
    bucket: str, s3_env: Server, digits: Path, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Everything in a bucket; a Ray of its own, since workers need the credentials from its start."""
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_MODE", "PREFECT_API_URL", "PREFECT_HOME"):
        monkeypatch.delenv(name, raising=False)  # a Prefect of its own too, as for a user who has none
    command = ["run", str(TINY), "--json", "--only", "vae", *WEIGHTS]
    command += ["--set", f"store.url=s3://{bucket}/atelier"]
    atelier = Atelier(tmp_path)
    first = atelier.outside(*command)
    again = atelier.call(*command)  # which needs neither: all is there
    for done, expected in ((first, "ran"), (again, "cached")):
        assert set(states(json.loads(done.stdout)).values()) == {expected}
        assert s3_env.secret not in done.stdout + done.stderr
