"""A family that translates both ways, in closed form: translators that change nothing, or invert."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from components.data.dataset import open_split
from components.evaluation import jobs, reference
from components.evaluation.jobs import evaluate_family, sample
from components.evaluation.requests import EvaluateRequest, EvaluationPaths, SampleRequest
from components.families import artifact, catalogue
from components.records.evaluation import Evaluation
from components.store import Store
from models.data_spec import DataSpec, SourceShape
from tests.families.translators import with_sources
from tests.tiny import CONFIGS

N = 40


class Inverts(nn.Module):
    """The image with black and white exchanged."""

    def forward(self, x: Tensor) -> Tensor:
        return -x


def evaluated(
    tmp_path: Path,
    digits: Path,
    digits_reference: Path,
    monkeypatch: pytest.MonkeyPatch,
    translators: tuple[nn.Module, nn.Module],
    paired: tuple[str, ...],
) -> Evaluation:
    """The evaluation of G and F on digits whose sources are the inverted images."""
    monkeypatch.setattr(reference, "real_classification_accuracy", lambda *_: 0.5)
    store = Store(str(tmp_path / "store"))
    shutil.copytree(digits_reference, store.path("reference"))
    with_sources(digits, Path(store.path("data")), side=8, channels=1, paired=paired)
    card = DataSpec(1, 8, 10, source=SourceShape(1, 8))
    config = catalogue.config_of("cyclegan", CONFIGS["cyclegan"])
    artifact.save_model(
        store, "model", "cyclegan", config, catalogue.build("cyclegan", config, card).generator, card
    )
    store.write_json("train/trained.json", {"curve": []})

    def opened(*arguments: object, **more: object) -> object:
        generator, inputs = open_model(*arguments, **more)
        generator.G, generator.F = translators
        return generator, inputs

    open_model = jobs.open_model
    monkeypatch.setattr(jobs, "open_model", opened)
    places = EvaluationPaths(store, "data", "reference/extractor", "parts", "reference")
    sample(SampleRequest(places, "model", N, seed=3, baselines=True))
    return evaluate_family(EvaluateRequest(places, "train", "cyclegan", "out", published=False))


def test_translators_that_change_nothing_are_the_baseline(
    tmp_path: Path, digits: Path, digits_reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = nn.Identity(), nn.Identity()
    result = evaluated(tmp_path, digits, digits_reference, monkeypatch, same, ("test",))
    metrics, (identity,) = result.metrics, result.baselines
    assert metrics["cycle_error"].value == metrics["backward_cycle_error"].value == 0
    images = open_split(digits, "test").images[np.arange(N)] / 255
    for name in ("mae", "backward_mae"):  # against the hidden pairs: the inverted images
        assert metrics[name].value == pytest.approx(np.abs(1 - 2 * images).mean(), rel=1e-5)
    for name, metric in identity.metrics.items():
        assert metrics[name].value == metric.value and metrics[name].comparability == metric.comparability
    assert {"kid", "backward_kid", "backward_frechet_distance", "feature_distance"} <= set(identity.metrics)
    assert "cycle_error" not in identity.metrics, "a baseline has no way back"
    assert len({metric.comparability for metric in metrics.values()}) == len(metrics)


def test_translators_that_find_the_pairs_are_perfect(
    tmp_path: Path, digits: Path, digits_reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inverts = Inverts(), Inverts()
    result = evaluated(tmp_path, digits, digits_reference, monkeypatch, inverts, ("test",))
    for name in ("cycle_error", "mse", "mae", "feature_distance"):
        assert result.metrics[name].value == result.metrics[f"backward_{name}"].value == 0, name
    assert result.metrics["psnr"].value == result.metrics["backward_psnr"].value == 100
    assert result.metrics["backward_frechet_distance"].value == pytest.approx(0, abs=1e-4)


def test_without_hidden_pairs_sets_and_cycles_are_judged_alone(
    tmp_path: Path, digits: Path, digits_reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_way = Inverts(), nn.Identity()
    result = evaluated(tmp_path, digits, digits_reference, monkeypatch, one_way, ())
    backward = {name for name in result.metrics if name.startswith("backward_")}
    assert backward == {"backward_kid", "backward_frechet_distance", "backward_cycle_error"}
    assert not {"mse", "mae", "feature_distance"} & set(result.metrics)
    images = open_split(digits, "test").images[np.arange(N)] / 255
    expected = pytest.approx(np.abs(1 - 2 * images).mean(), rel=1e-5)
    assert result.metrics["cycle_error"].value == expected == result.metrics["backward_cycle_error"].value
