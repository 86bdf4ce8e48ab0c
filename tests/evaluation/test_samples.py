"""Samples as they are evaluated, and the baselines beside them, in closed form."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from components.data.dataset import open_split
from components.evaluation import evaluate, reference
from components.evaluation.baselines import baseline_images
from components.evaluation.jobs import evaluate_family, pair_values, sample
from components.evaluation.reference import EvaluationSample, Reference
from components.evaluation.requests import EvaluateRequest, EvaluationPaths, SampleRequest
from components.evaluation.samples import open_model, sample_for_evaluation
from components.families import artifact, catalogue
from components.families.tasks import TASKS
from components.records.evaluation import Evaluation, Metrics
from components.sampling.sources import as_images
from components.store import Store
from models.data_spec import DataSpec, SourceShape
from tests.families.translators import PAIRED, UNPAIRED, register, remove, with_sources
from tests.tiny import CONFIGS

N, SOURCES = 60, {"train": 90, "validation": 30, "test": 70}


@pytest.fixture(autouse=True)
def translators() -> Iterator[None]:
    register()
    yield
    remove()


@pytest.fixture(autouse=True)
def quick_floors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without training a classifier on real images for another number of samples."""
    monkeypatch.setattr(reference, "real_classification_accuracy", lambda *_: 0.5)


@pytest.fixture
def store(tmp_path: Path, digits: Path, digits_reference: Path) -> Store:
    """A store with digits, with sources where a family takes them, a reference and untrained models."""
    store = Store(str(tmp_path / "store"))
    shutil.copytree(digits_reference, store.path("reference"))
    for name in (PAIRED, UNPAIRED, "super_resolution", "inpainting", "vae", "autoencoder"):
        card = DataSpec(1, 8, 10)
        if name == PAIRED:
            with_sources(digits, Path(store.path(name)), side=8)
            card = DataSpec(1, 8, 10, source=SourceShape(3, 8))
        elif name == UNPAIRED:
            with_sources(digits, Path(store.path(name)), side=4, counts=SOURCES)
            card = DataSpec(1, 8, 10, source=SourceShape(3, 4))
        else:
            shutil.copytree(digits, store.path(name))
        config = catalogue.config_of(name, CONFIGS[name])
        generator = catalogue.build(name, config, card).generator
        artifact.save_model(store, f"models/{name}", name, config, generator, card)
    store.write_json("train/trained.json", {"curve": []})
    return store


def evaluated(store: Store, name: str, baselines: bool = True) -> Evaluation:
    places = EvaluationPaths(store, name, "reference/extractor", f"parts/{name}", "reference")
    for start, n in ((0, 64), (64, 6)) if name == UNPAIRED else ((0, N),):
        sample(SampleRequest(places, f"models/{name}", n, seed=3, start=start, baselines=baselines))
    return evaluate_family(EvaluateRequest(places, "train", name, "out", published=False))


def values(metrics: Metrics) -> dict[str, float]:
    return {name: metric.value for name, metric in metrics.items()}


def test_the_baseline_of_pairs_is_the_source_against_its_target(store: Store, digits_ref: Reference) -> None:
    result = evaluated(store, PAIRED)
    test = open_split(Path(store.path(PAIRED)), "test", sources=True)
    targets, (baseline, nearest) = test.images[np.arange(N)], result.baselines
    assert (baseline.name, nearest.name) == ("identity", "nearest_pair")
    # Each source is the inverted target in three equal channels.
    assert baseline.metrics["mse"].value == pytest.approx(np.square(1 - 2 * (targets / 255)).mean(), rel=1e-4)
    images = as_images(test.sources[np.arange(N)], DataSpec(1, 8))
    pairs, judged = pair_values(targets, images, None), EvaluationSample(digits_ref.extractor(images))
    expected = evaluate.task_metrics(TASKS["translate"], judged, digits_ref, pairs=pairs)
    assert values(baseline.metrics) == values(expected)
    features = digits_ref.splits["test"].features[:N]
    distance = np.linalg.norm(features - judged.features, axis=1).mean()
    assert baseline.metrics["feature_distance"].value == pytest.approx(distance, rel=1e-5)
    same_recipe = {name: metric.comparability for name, metric in result.metrics.items()}
    for other in result.baselines:
        assert same_recipe == {name: metric.comparability for name, metric in other.metrics.items()}


def test_the_nearest_pair_is_that_of_the_nearest_training_source(store: Store) -> None:
    generator, inputs = open_model(store, f"models/{PAIRED}", PAIRED, "", "test")
    train = open_split(Path(store.path(PAIRED)), "train", sources=True)
    sources, candidates = inputs.split.sources[20:30].astype(int), train.sources[:].astype(int)
    rows = [int(np.square(candidates - source).sum((1, 2, 3)).argmin()) for source in sources]
    images = baseline_images(generator, inputs, 10, 3, start=20)["nearest_pair"]
    np.testing.assert_array_equal(images, train.images[rows])


def test_the_baseline_without_pairs_is_the_set_of_sources(store: Store, digits_ref: Reference) -> None:
    result = evaluated(store, UNPAIRED)
    sources = open_split(Path(store.path(UNPAIRED)), "test", sources=True).sources[:]
    judged = EvaluationSample(digits_ref.extractor(as_images(sources, DataSpec(1, 8))))
    expected = values(evaluate.evaluate_samples(judged, digits_ref))
    (baseline,) = result.baselines
    assert baseline.name == "identity"
    assert values(baseline.metrics) == pytest.approx(expected, rel=1e-5)
    assert result.metrics["kid"].n == SOURCES["test"]


def test_families_that_make_their_sources_have_a_baseline_of_these(store: Store) -> None:
    for name, called in (("super_resolution", "bicubic"), ("inpainting", "identity")):
        (baseline,) = evaluated(store, name).baselines
        generator, inputs = open_model(store, f"models/{name}", name, "", "test")
        images, targets = baseline_images(generator, inputs, N, 3)[called], inputs.targets(np.arange(N))
        assert baseline.name == called and targets is not None
        mse = np.square((images.astype(float) - targets) / 255).mean()
        assert baseline.metrics["mse"].value == pytest.approx(mse, rel=1e-6)


def test_a_baseline_changes_nothing_else(store: Store) -> None:
    with_it = evaluated(store, "super_resolution")
    store.delete("parts")
    without = evaluated(store, "super_resolution", baselines=False)
    assert without.baselines == [] and without.metrics == with_it.metrics
    for name in ("vae", "autoencoder"):
        assert TASKS[catalogue.FAMILIES[name].task].baselines == ()
        assert evaluated(store, name).baselines == []


def test_samples_know_what_they_were_made_from(store: Store) -> None:
    for name in (PAIRED, UNPAIRED, "vae", "inpainting"):
        generator, inputs = open_model(store, f"models/{name}", name, "", "test")
        whole = sample_for_evaluation(generator, inputs, 64, 3)
        part = sample_for_evaluation(generator, inputs, 5, 3, start=40)
        np.testing.assert_array_equal(part.images, whole.images[40:45])
        assert (whole.targets is not None) is inputs.task.has_target and whole.captions is None
        assert inputs.most(1000) == {"vae": 1000, UNPAIRED: SOURCES["test"]}.get(name, 400)
        assert whole.seconds > 0
        if name == "inpainting":  # told the labels of the images
            np.testing.assert_array_equal(part.labels, inputs.split.labels[40:45])
    np.testing.assert_array_equal(whole.targets, inputs.split.images[:64])
