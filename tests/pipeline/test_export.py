"""The stage that exports a trained and evaluated family as a folder of the Hub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from components.config.experiment import Experiment
from components.data.card import DatasetCard
from components.families.catalogue import config_of
from components.families.resolve import resolved
from components.pipeline import evaluate, export, train
from components.pipeline.plan import Plan
from components.records.evaluation import Evaluation
from components.records.names import RESULT
from components.records.stages import EvaluateResult, TrainResult
from components.records.training import TrainingResult
from components.sampling import png, published
from components.stages import cache
from components.stages.cache import Done
from components.stages.spec import Spec
from components.store import Store
from components.training import job
from components.training.request import TrainRequest
from tests import tiny
from tests.report import fixture
from tests.small_data import digits  # noqa: F401  (fixture)

SETTINGS = {
    "steps": 2,
    "batch": 8,
    "precision": "float32",
    "sample_images": 20,
    "seed": 7,
    "snapshot_samples": 0,
    "num_snapshots": 1,
}


METRICS = fixture.result("dcgan", 14.2).metrics


def exported(store: Store, data: Path, family: str) -> Path:
    """The folder of a family after preparation, a training of two steps, and an evaluation."""
    read = Experiment(device="cpu", families={family: tiny.CONFIGS[family]}, train=SETTINGS)
    plan = Plan.of(resolved(read, "cpu", "float32"), "0123.dir", DatasetCard.read(data), store)
    settings, results = plan.experiment.training(family).model_dump(), dict[str, Done]()

    def prepare(attempt: Store, number: int) -> Mapping[str, Any]:
        shutil.copytree(data, attempt.path("data"))
        return {}

    def fit(attempt: Store, number: int) -> Mapping[str, Any]:
        folder = attempt.root.removeprefix(store.root).strip("/")
        prepared, config = f"{results['prepare'].uri}/data", config_of(family, tiny.CONFIGS[family])
        job.fit(TrainRequest(family, config, settings, prepared, folder, store))
        return TrainResult(trained=TrainingResult.model_validate(attempt.read_json(RESULT))).to_json()

    def judge(attempt: Store, number: int) -> Mapping[str, Any]:
        return EvaluateResult(evaluated=Evaluation(metrics=METRICS)).to_json()

    bodies = (
        (Spec("prepare", {}, {}), prepare),
        (train.spec(plan, family), fit),
        (evaluate.spec(plan, family), judge),
    )
    for spec, body in bodies:
        results[spec.name] = cache.run(store, spec, body, run_id=f"of-{spec.stage}")
    done = export.STAGE.result(store, plan, export.spec(plan, family), results, "r")
    return store.local_copy(done.uri)


@pytest.mark.parametrize("family", ["cgan", "autoencoder"])
def test_an_export_alone_draws_the_samples_of_its_training(
    tmp_path: Path,
    digits: Path,  # noqa: F811
    family: str,
) -> None:
    folder = exported(Store(str(tmp_path / "store")), digits, family)
    drawn = published.reproduce(folder)
    assert (drawn.images, drawn.difference) == (20, 0.0)
    config = json.loads((folder / "config.json").read_text())
    assert config["origin"] == {"run_id": "of-train", "step": 2}
    _, block, card = (folder / "README.md").read_text().split("---\n", 2)
    front = yaml.safe_load(block)
    assert "![samples](samples.png)" in card and "atelier verify FOLDER" in card
    labels = [entry["text"] for entry in front["widget"]]
    assert labels == ([str(i) for i in range(10)] if family == "cgan" else ["-"] * 10)
    assert all((folder / entry["output"]["url"]).exists() for entry in front["widget"])
    names = [metric["type"] for metric in front["model-index"][0]["results"][0]["metrics"]]
    assert names == list(METRICS)
    with Image.open(folder / "samples" / "03.png") as image:
        made = json.loads(image.info[png.MADE])
    assert (made["run"], made["step"]) == ("of-train", 2)
    assert ("label" in made["condition"]) is (family == "cgan")
    assert ("image" in made["condition"]) is (family == "autoencoder")
