"""Evaluating images in Python: what reaches the evaluation, and what is refused before it begins."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import atelier
from components.cluster import ray_cluster
from components.records.evaluation import ExternalEvaluation
from components.records.run import DataLineage, FamilyResult, Lineage, RunManifest
from components.store import Store
from flows import evaluate as flow
from tests.flows.cli.test_app import call


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())


def test_images_reach_the_evaluation_as_files_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: None
) -> None:
    calls: list[Any] = []

    def evaluated(folder: str, data: str, store: Any, settings: Any, **rest: Any) -> None:
        paths = sorted(Path(folder).iterdir()) if Path(folder).is_dir() else []
        calls.append((folder, data, [np.asarray(Image.open(p)).tolist() for p in paths], settings, rest))

    monkeypatch.setattr(flow, "evaluate", evaluated)
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
    arguments: dict[str, Any] = {"data": "digits", "store": str(tmp_path / "store")}
    atelier.evaluate(images, **arguments, split="validation", samples=9)
    folder, data, arrays, settings, rest = calls.pop()
    assert data == "digits" and arrays == images[..., 0].tolist() and settings.samples == 9
    assert rest["split"] == "validation" and rest["independent"] is False
    assert not Path(folder).exists(), "what was written is removed"
    atelier.evaluate([Image.fromarray(image[..., 0]) for image in images], **arguments)
    assert calls.pop()[2] == arrays
    for place in (tmp_path, "s3://bucket/images", "nowhere"):
        atelier.evaluate(place, **arguments)
        assert calls.pop()[0] == str(place)


def test_what_is_refused(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: None
) -> None:
    monkeypatch.setattr(ray_cluster, "connect", None)
    store = str(tmp_path / "store")
    few = np.zeros((3, 8, 8, 1), np.uint8)
    with pytest.raises(atelier.InputError, match="only 3 images to evaluate"):
        atelier.evaluate(few, data="digits", store=store)
    with pytest.raises(atelier.InputError, match="unknown key evaluate.sample"):
        atelier.evaluate(few, data="digits", store=store, sample=3)
    with pytest.raises(atelier.InputError, match="images: nowhere.png: No such file"):
        atelier.evaluate(["nowhere.png"], data="digits", store=store)
    with pytest.raises(atelier.InputError, match="images: there are no images"):
        atelier.evaluate([], data="digits", store=store)


def test_python_and_the_command_judge_alike(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    environment: None,
) -> None:
    """Both take the judge of the newest full run on the data, unless the caller sets another."""
    store = Store(str(tmp_path))
    judged = {"extractor_steps": 200, "classifier_steps": 30, "samples": 88}
    lineage = Lineage(data=DataLineage(name="shelf"), config={"evaluate": judged})
    run = RunManifest(run_id="1", lineage=lineage, results=[FamilyResult(family="vae")])
    store.write_json("runs/1/run.json", run.to_json())
    calls: list[tuple[Any, Any]] = []
    result = ExternalEvaluation(
        source="s",
        images=9,
        data="shelf",
        version="v",
        split="test",
        preparation="",
        labelled=False,
        metrics={},
    )

    def evaluated(folder: str, data: str, store: Any, settings: Any, **rest: Any) -> ExternalEvaluation:
        rest.pop("say")
        calls.append((settings, rest))
        return result

    monkeypatch.setattr(flow, "evaluate", evaluated)
    for changes in ({}, {"extractor_steps": 100, "extractor": "rotation"}):
        atelier.evaluate(tmp_path, data="shelf", store=store.url, **changes)
        options = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
        call(capsys, "evaluate", str(tmp_path), "--data", "shelf", "--store", store.url, *options)
    for ours, command, steps in ((calls[0], calls[1], 200), (calls[2], calls[3], 100)):
        assert ours == command and ours[0].extractor_steps == steps and ours[0].classifier_steps == 30
