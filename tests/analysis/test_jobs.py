"""What codes are good for, as stages: detectors without a class, and the views of a trained model."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from components.analysis import jobs as analysis_jobs
from components.analysis import mixture_prior
from components.analysis.jobs import make_view
from components.analysis.views import VIEWS
from components.common.errors import InputError
from components.common.memory import LastValue
from components.config.evaluate import Evaluate
from components.config.experiment import Experiment
from components.data.card import DatasetCard
from components.evaluation.requests import AnalysisRequest, EvaluationPaths
from components.families import catalogue
from components.pipeline import anomaly_models, latent_analysis
from components.pipeline.plan import Plan
from components.stages.cache import Done
from components.store import Store
from components.training import job as training_job
from components.training import request
from tests import tiny

pytestmark = pytest.mark.slow

TRAIN = tiny.settings(steps=4, snapshot_samples=0).model_dump()


@pytest.fixture
def store(with_digits: Store) -> Store:
    counts = {"train": 1000, "validation": 390, "test": 400}
    with_digits.write_json(
        "prepared/result.json", {"data": {"name": "digits", "title": "Digits", "counts": counts}}
    )
    return with_digits


def done(uri: str) -> Done:
    return Done(uri, None, "k", uri, 1, "ran", "", 0, 0.0, 0.0, 0.0, "r1")


def fit(store: Store, family: str, **changes: Any) -> Done:
    """A trained model, in the store."""
    config = catalogue.config_of(family, {**tiny.CONFIGS[family], **changes})
    training_job.fit(request.TrainRequest(family, config, TRAIN, "prepared/data", "trained", store))
    return done("trained")


def stage(store: Store, module: Any, plan: Plan, **results: Done) -> dict[str, Any]:
    """A stage of the autoencoder, as the flow runs it: its folder and its result."""
    named = {f"{name}/autoencoder": result for name, result in results.items()}
    named |= {"prepare": done("prepared"), "extractor": done("reference"), "reference": done("reference")}
    made = module.STAGE.result(store, plan, module.spec(plan, "autoencoder"), named, "r1")
    return {"uri": made.uri, **store.read_json(f"{made.uri}/result.json")}


def planned(store: Store, names: list[str]) -> Plan:
    blocks = {
        "autoencoder": catalogue.config_of("autoencoder", tiny.CONFIGS["autoencoder"]) | {"train": TRAIN}
    }
    experiment = Experiment(
        device="cpu", families=blocks, evaluate=Evaluate(seed=0, threads=1, held_out_classes=names)
    )
    return Plan(experiment, "0123.dir", DatasetCard.read(store.path("prepared/data")))


def detectors(store: Store, names: list[str]) -> dict[str, Any]:
    return stage(store, anomaly_models, planned(store, names))


def test_detectors_never_see_their_class(
    store: Store, here: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[set[int]] = []
    batches = training_job.Batches

    def watched(split: Any, *arguments: Any) -> Any:
        calls.append(set(np.asarray(split.labels).tolist()))
        return batches(split, *arguments)

    monkeypatch.setattr(training_job, "Batches", watched)
    result = detectors(store, ["3", "7"])
    assert calls == [set(range(10)) - {3}, set(range(10)) - {7}]
    assert [job.without for _, (job,) in here] == [3, 7]
    assert result["anomaly_models"] == {"3": "without-003/model", "7": "without-007/model"}
    for folder in result["anomaly_models"].values():
        assert store.exists(f"{result['uri']}/{folder}/model.safetensors")
    assert not [path for path in store.find(result["uri"]) if "checkpoints/" in path]


def test_all_views_of_a_model_are_left_with_their_pictures(store: Store, here: list[Any]) -> None:
    trained, strange = fit(store, "autoencoder"), detectors(store, ["3"])
    models = done(strange["uri"])

    result = stage(store, latent_analysis, planned(store, ["3"]), train=trained, anomaly_models=models)
    views = {view["name"]: view for view in result["analysis"]["views"]}
    assert list(views) == [n for n in VIEWS if n not in ("diverged", "likelihood", "posterior")]
    assert [row["name"] for row in views["anomaly"]["tables"][0]["rows"]] == ["without 3", "mean"]
    labels = [column["label"] for column in views["draws"]["tables"][0]["columns"]]
    assert labels == ["Fréchet distance", "KID", "precision", "recall"]
    for view in views.values():
        for picture in view["pictures"]:
            content = store.read_bytes(f"{result['uri']}/{picture['path']}")
            with Image.open(io.BytesIO(content)) as image:
                assert image.size == (8 * picture["columns"], 8 * picture["rows"])
    assert not store.exists(f"{result['uri']}/parts/map.json")
    json.dumps(result, allow_nan=False)


def test_a_likelihood_and_a_posterior_are_those_of_a_vae(store: Store, here: list[Any]) -> None:
    change = {"network": "dense", "widths": [16], "binarise": "threshold", "conditional": True}
    trained = fit(store, "vae", **change)
    views = [make_view(order(store, trained, name)) for name in ("likelihood", "posterior", "draws")]
    assert all(views) and views[0]
    rows = views[0].tables[0].rows
    first, *_, bound, mixture = [row.cells[0].value or 0.0 for row in rows]
    assert rows[-1].name.startswith("a mixture of") and mixture < bound <= first
    described = store.read_json("trained/model/config.json")
    assert described["errors"]["n"] == 390


def test_samples_are_drawn_from_a_mixture_of_codes(store: Store, here: list[Any], tmp_path: Path) -> None:
    trained = fit(store, "vae", conditional=True)
    model, out = store.local_copy(f"{trained.uri}/model"), tmp_path / "out.png"
    few = mixture_prior.sample_to_file(model, out, store, "prepared/data", n=3, seed=5)
    many = mixture_prior.sample_to_file(model, out, store, "prepared/data", n=20, seed=5)
    assert few.shape == (3, 1, 8, 8) and len(np.unique(many, axis=0)) > 10
    np.testing.assert_array_equal(few, many[:3])
    with Image.open(out) as image:
        assert image.size == (80, 16)
    sevens = mixture_prior.sample_to_file(model, out, store, "prepared/data", n=8, seed=5, label="7")
    assert (sevens[7] == many[7]).all() and (sevens[0] != many[0]).any(), (
        "its own class, in turn or asked for"
    )
    for label, sentence in (("ten", "--label ten: unknown class"), ("10", "--label 10: unknown class")):
        with pytest.raises(InputError, match=sentence):
            mixture_prior.sample_to_file(model, out, store, "prepared/data", n=1, label=label)


@pytest.mark.parametrize(
    ("family", "label", "sentence"),
    [
        ("gan", None, "--prior mixture: gan does not encode images"),
        ("autoencoder", "3", "--label 3: this model was trained without labels"),
    ],
)
def test_what_a_mixture_cannot_be_drawn_of(
    store: Store, tmp_path: Path, family: str, label: str | None, sentence: str
) -> None:
    model = store.local_copy(f"{fit(store, family).uri}/model")
    with pytest.raises(InputError, match=sentence):
        mixture_prior.sample_to_file(model, tmp_path / "x.png", store, "prepared/data", n=1, label=label)
    assert not (tmp_path / "x.png").exists()


def order(store: Store, trained: Done, view: str) -> AnalysisRequest:
    where = EvaluationPaths(store, "prepared/data", "reference/extractor", "parts", "reference")
    return AnalysisRequest(where, f"{trained.uri}/model", view, 0, "out", {}, 5000)


def test_a_view_that_is_there_is_not_made_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = fit(store, "autoencoder")
    first = make_view(order(store, trained, "map"))
    monkeypatch.setattr(analysis_jobs, "open_subject", lambda *_: pytest.fail("made again"))
    assert make_view(order(store, trained, "map")) == first
    store.write_json("parts/likelihood.json", {"view": None})
    assert make_view(order(store, trained, "likelihood")) is None


def test_views_of_a_model_share_its_codes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    trained, newest = fit(store, "autoencoder"), LastValue[Any]()
    open_subject = Mock(wraps=analysis_jobs.open_subject)
    monkeypatch.setattr(analysis_jobs, "OPENED", newest)
    monkeypatch.setattr(analysis_jobs, "open_subject", open_subject)
    first = order(store, trained, "map")
    for job in (first, replace(first, view="compression")):
        make_view(job)
    assert open_subject.call_count == 1 and newest.entry and "codes" in vars(newest.entry[1])
    make_view(replace(first, view="denoising", seed=1))
    assert open_subject.call_count == 2
