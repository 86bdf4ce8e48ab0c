"""A champion's exported model is evaluated again as any family's, with a cached result."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.cluster import ray_cluster
from components.common.errors import InputError
from components.data.card import DatasetCard
from components.evaluation.comparability import difference
from components.pipeline import champion as stage
from components.pipeline import evaluate
from components.pipeline.stage import Context
from components.records.extractor import ExpectedExtractor
from components.records.gate import Champion, ModelReference
from components.stages import cache
from components.stages.cache import Done
from components.stages.spec import Spec
from components.store import Store
from tests.evaluation.conftest import *  # noqa: F403  (fixtures)
from tests.pipeline.test_anomaly_models import plan
from tests.registry.judged import champion as entry


def here(job: str, *arguments: Any, **_: Any) -> Any:
    """Run a job in this process."""
    module, _, function = job.partition(":")
    return getattr(importlib.import_module(module), function)(*arguments)


@pytest.fixture
def context(store: Store, monkeypatch: pytest.MonkeyPatch) -> Context:
    """The context of a gate on the digits, without a cluster."""
    monkeypatch.setattr(ray_cluster, "call", here)
    monkeypatch.setattr(ray_cluster, "each", lambda job, many, **_: [here(job, *one) for one in many])
    monkeypatch.setattr(evaluate, "lpips_file", lambda path: None)
    made = plan(store, {"gan": {}})
    evaluated = made.experiment.evaluate.model_copy(update={"samples": 64})
    experiment = made.experiment.model_copy(update={"evaluate": evaluated})
    made = replace(made, experiment=experiment, card=DatasetCard.read(Path(store.path("data"))))
    folders = {"prepare": "data", "extractor": "reference/extractor", "reference": "reference"}
    results = {name: done(store, name, folder) for name, folder in folders.items()}
    return Context(store, made, Spec("gate", {}, {}), store.child("gate"), 1, results, "r2")


def done(store: Store, name: str, folder: str) -> Done:
    """A finished stage whose files are those of a folder of the fixtures."""

    def body(attempt: Store, number: int) -> dict[str, Any]:
        for file in store.find(folder):
            inside = "" if name == "reference" else f"{folder.rpartition('/')[2]}/"
            attempt.write_bytes(f"{inside}{file}", store.read_bytes(f"{folder}/{file}"))
        return {}

    return cache.run(store, Spec(name, {}, {}), body, run_id="r1")


def test_the_numbers_are_those_of_an_evaluation_and_are_cached(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = context.store
    monkeypatch.setattr(type(context.plan), "expected_extractor", ExpectedExtractor("classifier"))
    before = entry(store, 1, "r1")
    model = ModelReference(run_id="r1", family="vae", folder="models/vae", files=before.model.files)
    champion = before.model_copy(update={"judgement": before.judgement.model_copy(update={"model": model})})
    assert isinstance(champion, Champion)
    result = stage.metrics(context, champion)
    assert {"frechet_distance", "kid", "precision", "memorization_rate"} <= set(result)
    assert result["kid"].n == 64 and result["kid"].split == "test"
    calls: list[Any] = []
    monkeypatch.setattr(evaluate, "evaluate_weights", lambda *a: calls.append(a))
    again = stage.metrics(context, champion)
    assert again == result and not calls and difference(again["kid"], result["kid"]) is None
    assert store.list("store/champion"), "a stage of its own"


def test_a_champion_whose_files_are_gone_is_named(context: Context) -> None:
    champion = entry(context.store, 3, "r1")
    context.store.delete(champion.model.folder)
    with pytest.raises(InputError, match=r"the model of champion 3 \(r1/vae\) is missing or damaged"):
        stage.metrics(context, champion)
