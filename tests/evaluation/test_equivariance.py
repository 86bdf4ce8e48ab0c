"""Generators that move with their input, and one that does not, judged and drawn."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from components.analysis import ablation
from components.evaluation import equivariance, reference
from components.evaluation.jobs import evaluate_family, sample
from components.evaluation.requests import EvaluateRequest, EvaluationPaths, SampleRequest
from components.families import artifact, catalogue
from components.metrics.equivariance import decibel
from components.sampling import generate
from components.store import Store
from models.data_spec import DataSpec
from models.family import Batch, Generator, Motion, Noise
from models.parts.fourier import moved, waves
from tests.tiny import CONFIGS

CARD = DataSpec(1, 24)


class Waves(Generator):
    """Four random waves, which move with the input or, if it is `glued`, do not."""

    def __init__(self, glued: bool = False):
        super().__init__()
        self.glued, self.weight = glued, nn.Parameter(torch.ones(()))

    def moved(self, batch: Batch, noise: Noise, motion: Motion) -> Tensor:
        frequencies, phases = 2 * noise(4, 2), noise.uniform(4)
        if not self.glued:
            frequencies, phases = moved(frequencies, phases, motion)
        return self.weight * waves(frequencies, phases, 24, 24).mean(1, keepdim=True)


def errors(generator: Generator, n: int, start: int = 0) -> dict[str, np.ndarray]:
    inputs: Any = functools.partial(dict)
    inputs.card, inputs.conditions = CARD, {}
    return equivariance.motion_errors(generator, inputs, n=n, seed=3, start=start, device="cpu")


def test_what_moves_exactly_has_no_errors_and_what_is_glued_has_many() -> None:
    exact, glued = errors(Waves(), 20), errors(Waves(glued=True), 20)
    assert decibel(exact["eq_t"].mean()) > 90 and decibel(exact["eq_r"].mean()) > 35
    assert decibel(glued["eq_t"].mean()) < 20 and decibel(glued["eq_r"].mean()) < 20


def test_errors_do_not_depend_on_ranges() -> None:
    """Of each range, the first chunk of 64 is moved."""
    whole, later = errors(Waves(), 100), errors(Waves(), 30, start=64)
    assert np.isfinite(whole["eq_r"]).sum() == 64 and np.isfinite(later["eq_r"]).all()
    assert not np.array_equal(whole["eq_t"][:30], later["eq_t"])
    again = errors(Waves(), 40)
    np.testing.assert_array_equal(whole["eq_r"][:40], again["eq_r"])


def test_samples_are_those_that_are_not_moved() -> None:
    generator = Waves()
    recorder = equivariance.MotionErrors(generator, seed=3, start=0)
    mover = equivariance.MotionGenerator(generator, [(1.0, 0.25), (0.0, 0.0)])
    one = generate.draw(recorder, CARD, n=5, batch=5, seed=3)
    other = generate.draw(mover, CARD, n=5, batch=5, seed=3)
    np.testing.assert_array_equal(one, other)
    assert mover.frames.shape == (2, 5, *CARD.shape) and not torch.equal(mover.frames[0], mover.frames[1])


def test_a_family_that_can_move_is_measured(
    tmp_path: Path, digits: Path, digits_reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "real_classification_accuracy", lambda *_: 0.5)
    store = Store(str(tmp_path / "store"))
    shutil.copytree(digits_reference, store.path("reference"))
    shutil.copytree(digits, store.path("data"))
    card, config = DataSpec(1, 8, 10), catalogue.config_of("stylegan3", CONFIGS["stylegan3"])
    torch.manual_seed(0)
    generator = catalogue.build("stylegan3", config, card).generator
    artifact.save_model(store, "model", "stylegan3", config, generator, card)
    store.write_json("train/trained.json", {"curve": []})
    places = EvaluationPaths(store, "data", "reference/extractor", "parts", "reference")
    sample(SampleRequest(places, "model", 40, seed=3))
    metrics = evaluate_family(EvaluateRequest(places, "train", "stylegan3", "out", published=False)).metrics
    metric = metrics["eq_t"]
    assert metric.better == "higher" and metric.n == 40 and metric.extractor is None
    assert metric.low is not None and metric.low < metric.value < (metric.high or 0)
    assert "eq_r" not in metrics, "8 pixels are too few for its filter"

    strips = ablation.save_trajectories(places, "model", 3, "strips", "cpu")
    assert set(strips) == {"shifted", "rotated"} and strips["rotated"].columns == 10
    assert store.exists("strips/shifted.webp")


@pytest.mark.parametrize(("name", "settings", "moves"), [
    ("stylegan3", {}, True),
    ("stylegan2", {"input": "fourier"}, True),
    ("stylegan2", {}, False),
    ("dcgan", {}, False),
])  # fmt: skip
def test_inputs_that_are_fourier_features_can_move(name: str, settings: dict[str, Any], moves: bool) -> None:
    generator = catalogue.build(name, CONFIGS[name] | settings, DataSpec(1, 8, 10)).generator
    assert equivariance.can_move(generator) is moves
