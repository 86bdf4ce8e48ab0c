"""What `atelier evaluate` refuses: without a cluster, before any stage runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.cluster import ray_cluster
from components.records.evaluation import MetricResult
from components.records.run import DataLineage, Lineage, RunManifest
from components.store import Store
from flows import evaluate
from tests.flows.driver import Atelier, pngs
from tests.report.fixture import result


def no_cluster() -> None:
    raise AssertionError("input is checked before the cluster is joined")


@pytest.fixture
def atelier(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Atelier:
    monkeypatch.setattr(ray_cluster, "connect", no_cluster)
    return Atelier(tmp_path / "store")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere"),
        (["empty"], "holds no images"),
        (["few"], "only 3 images to evaluate"),
        (["broken"], "11 of 23 images"),
        (["coloured"], "colour"),
        (["few", "--split", "exam"], "--split exam"),
        (["few", "--extractor", "vgg"], "evaluate.extractor='vgg'"),
        (["few", "--set", "sample=3"], "evaluate.sample"),
        (["grey", "--extractor", "inception", "--set", "inception_path=WEIGHTS"], "which FID needs"),
    ],
)
def test_what_cannot_be_evaluated(atelier: Atelier, arguments: list[str], words: str, tmp_path: Path) -> None:
    digit = np.zeros((1, 1, 8, 8), np.uint8)
    (tmp_path / "empty").mkdir()
    pngs(tmp_path / "few", np.repeat(digit, 3, 0))
    pngs(tmp_path / "grey", np.repeat(digit, 12, 0))
    pngs(tmp_path / "broken", np.repeat(digit, 12, 0))
    for i in range(11):
        (tmp_path / "broken" / f"broken{i}.png").write_bytes(b"not a picture")
    (tmp_path / "coloured").mkdir()
    for i in range(12):
        Image.new("RGB", (8, 8), (255, 0, i)).save(tmp_path / "coloured" / f"{i}.png")
    (tmp_path / "weights.pth").write_bytes(b"other weights")
    folder, *options = [a.replace("WEIGHTS", str(tmp_path / "weights.pth")) for a in arguments]
    common = ["--data", "digits", "--store", str(atelier.store)]
    done = atelier.call("evaluate", str(tmp_path / folder), *options, *common, code=2)
    assert words in done.stderr.strip().splitlines()[-1] and done.stdout == ""
    assert not list(atelier.store.glob("**/spec.json")), "no stage has begun"


def test_files_that_are_left_out_are_named_before_anything_is_computed(
    atelier: Atelier, tmp_path: Path
) -> None:
    pngs(tmp_path / "few", np.zeros((3, 1, 8, 8), np.uint8))
    (tmp_path / "few" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = atelier.call(
        "evaluate", str(tmp_path / "few"), "--data", "digits", "--store", str(atelier.store), code=2
    )
    message = "left out 1 of 4 images, which cannot be used: broken.png: damaged or truncated; 3 can be used"
    assert message in done.stderr.splitlines() and "only 3 images to evaluate" in done.stderr


def test_images_are_judged_as_by_the_newest_full_run_on_the_data(tmp_path: Path) -> None:
    store, judged = (
        Store(f"file://{tmp_path}"),
        {"extractor_steps": 100, "samples": 88, "reference_images": None},
    )
    runs = [("1", "digits", False, judged), ("2", "digits", True, {}), ("3", "other", False, {})]
    for run_id, data, smoke, evaluated in runs:
        lineage = Lineage(data=DataLineage(name=data), config={"evaluate": evaluated})
        run = RunManifest(run_id=run_id, smoke=smoke, lineage=lineage, results=[result("vae", 31.7)])
        store.write_json(f"runs/{run_id}/run.json", run.to_json())
    assert evaluate.judge_of_runs(store, "digits") == {"extractor_steps": 100}
    assert evaluate.judge_of_runs(store, "unknown") == {}
    for run_id, status in (("4", "failed"), ("5", "running")):
        lineage = Lineage(data=DataLineage(name="new"), config={"evaluate": {"extractor_steps": int(run_id)}})
        run = RunManifest(run_id=run_id, status=status, lineage=lineage)
        store.write_json(f"runs/{run_id}/run.json", run.to_json())
    assert evaluate.judge_of_runs(store, "new") == {"extractor_steps": 5}, "it has no results yet"
    chosen = evaluate.settings(store, "digits", ["classifier_steps=50"])
    assert (chosen.extractor_steps, chosen.classifier_steps) == (100, 50)


@pytest.mark.parametrize(
    ("images", "test", "most", "words"),
    [
        (89, 88, None, "89 can be used, 88 are compared (as many as the test split has)"),
        (88, 88, None, "88 can be used"),
        (88, 500, None, "88 can be used"),
        (400, 500, None, "400 can be used, 300 are compared (as many as the train split has)"),
        (88, 500, 50, "88 can be used, 50 are compared (evaluate.reference_images)"),
    ],
)
def test_images_that_can_be_used_are_told_from_those_that_are_compared(
    images: int, test: int, most: int | None, words: str
) -> None:
    card = SimpleNamespace(counts={"train": 300, "test": test})
    experiment = SimpleNamespace(evaluate=SimpleNamespace(reference_images=most))
    plan: Any = SimpleNamespace(card=card, experiment=experiment)
    assert evaluate.usable(images, plan, "test") == words


def test_images_far_from_real_ones_and_copies_are_warned_of() -> None:
    real, noise = (MetricResult(value=value, real_baseline=0.25) for value in (1.0, 50.0))
    copies = MetricResult(value=0.69, low=0.6, real_baseline=0.01)
    assert evaluate.warnings({"frechet_distance": real}, ["a.png"]) == []
    metrics = {"frechet_distance": noise, "memorization_rate": copies}
    far, copied = evaluate.warnings(metrics, [f"{number}.png" for number in range(12)])
    assert far.startswith("the images are not near real images: Fréchet distance is 50.0")
    assert "probably copies of them: 0.png, 1.png" in copied and copied.endswith("9.png and 2 more")
