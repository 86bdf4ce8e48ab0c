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
from flows import evaluate as flow


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())


def test_images_reach_the_evaluation_as_files_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: None
) -> None:
    seen: list[Any] = []

    def evaluated(folder: str, data: str, store: Any, settings: Any, **rest: Any) -> None:
        paths = sorted(Path(folder).iterdir()) if Path(folder).is_dir() else []
        seen.append((folder, data, [np.asarray(Image.open(p)).tolist() for p in paths], settings, rest))

    monkeypatch.setattr(flow, "evaluate", evaluated)
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
    arguments: dict[str, Any] = {"data": "digits", "store": str(tmp_path / "store")}
    atelier.evaluate(images, **arguments, split="validation", samples=9)
    folder, data, arrays, settings, rest = seen.pop()
    assert data == "digits" and arrays == images[..., 0].tolist() and settings.samples == 9
    assert rest["split"] == "validation" and rest["independent"] is False
    assert not Path(folder).exists(), "what was written is removed"
    atelier.evaluate([Image.fromarray(image[..., 0]) for image in images], **arguments)
    assert seen.pop()[2] == arrays
    for place in (tmp_path, "s3://bucket/images", "nowhere"):
        atelier.evaluate(place, **arguments)
        assert seen.pop()[0] == str(place)


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
