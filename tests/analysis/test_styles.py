"""The views of a style-based model and their pictures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from components.analysis import styles as views
from components.analysis.styles import style_views
from components.evaluation.requests import EvaluationPaths
from components.records.analysis import LatentAnalysisResult
from components.sampling import sheets
from components.sampling.styles import Styles
from components.store import Store
from tests.sampling.style_models import saved


@pytest.fixture(params=[False, True], ids=["unconditional", "conditional"])
def made(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Store, Any]:
    """A store with the views of an untrained model, and their records."""
    monkeypatch.setattr(views, "LADDER", np.linspace(-1, 1, 3))
    monkeypatch.setattr(Styles, "mean", lambda self, label=None: (torch.zeros(8), 1.0))
    monkeypatch.setattr(views, "BETWEEN", 4)
    saved(tmp_path, noise=False, conditional=request.param)
    store = Store(str(tmp_path))
    places = EvaluationPaths(store, "", "", "parts")
    records = style_views(places, "stylegan2", "out", 3, 10, "pixels", "cpu")
    read = LatentAnalysisResult.read({"analysis": {"views": [view.to_json() for view in records]}})
    assert read is not None and [view.to_json() for view in read.analysis.views] == [
        v.to_json() for v in records
    ]
    return store, {view.name: view for view in records}


def test_views_and_their_pictures(made: tuple[Store, Any]) -> None:
    store, by_name = made
    assert list(by_name) == ["mixing", "interpolation", "truncation", "path_length"]
    for view in by_name.values():
        for picture in view.pictures:
            if picture.still is None:
                grid = sheets.decode_webp(store.read_bytes(f"out/{picture.path}"))
                assert grid.shape[:2] == (8 * picture.rows, 8 * picture.columns)
    assert [picture.columns for picture in by_name["mixing"].pictures] == [6, 6, 6]
    (row, *others), (column,) = (
        by_name["path_length"].tables[0].rows,
        by_name["path_length"].tables[0].columns,
    )
    assert column.label == "PPL (pixels)" and len(others) == 2 and row.cells[0].value > 0


def test_the_animation_has_a_still(made: tuple[Store, Any]) -> None:
    store, by_name = made
    (picture,) = by_name["interpolation"].pictures
    assert (picture.path, picture.still) == ("interpolation-0.webp", "interpolation-0-still.webp")
    with Image.open(io.BytesIO(store.read_bytes(f"out/{picture.path}"))) as image:
        assert image.n_frames == views.PASSED * views.BETWEEN and image.size == (8 * views.WAYS, 8)
    still = sheets.decode_webp(store.read_bytes(f"out/{picture.still}"))
    assert still.shape[:2] == (8 * views.WAYS, 8 * views.STILLS)
    assert (picture.rows, picture.columns) == (1, views.WAYS)


def test_a_ladder_goes_through_the_mean_image(made: tuple[Store, Any]) -> None:
    store, by_name = made
    pictures = by_name["truncation"].pictures
    conditional = "class" in pictures[-1].title
    assert len(pictures) == 1 + conditional
    ladder = sheets.ungrid(sheets.decode_webp(store.read_bytes(f"out/{pictures[0].path}"), 1), 8)
    middle = ladder.reshape(views.SAMPLES, 3, 8, 8)[:, 1].astype(int)
    # The images of the mean differ by their noise inputs alone, which an untrained model does not use.
    assert np.abs(middle - middle[0]).max() <= 1
