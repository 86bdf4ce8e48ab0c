"""`atelier score`: what a model finds strange."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from components import jobs, scoring, strangeness
from components.data.dataset import Shards, Split
from components.errors import InputError
from components.storage import Store
from models.family import Batch, Card, Generator
from tests import tiny

CARD = Card(1, 8)


class Flat(Generator):
    """Gives each image back as its mean grey."""

    def __init__(self) -> None:
        super().__init__()
        self.latent, self.unused = 1, torch.nn.Parameter(torch.zeros(()))

    def code(self, batch: Batch) -> torch.Tensor:
        assert batch.image is not None
        return batch.image.flatten(1).mean(1, keepdim=True)

    def picture(self, z: torch.Tensor, batch: Batch) -> torch.Tensor:
        return z[:, :, None, None].expand(-1, *CARD.shape)


def greys(spreads: list[float]) -> np.ndarray:
    """Images whose error is the square of a spread, about."""
    signs = np.where(np.indices((8, 8)).sum(0) % 2, 1, -1)
    return np.stack([(128 + 255 * s * signs).round().astype(np.uint8)[None] for s in spreads])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tiny autoencoder whose errors of validation images are known."""
    store = Store(str(tmp_path))
    family = tiny.trainer("autoencoder").family
    job = jobs.Fit("autoencoder", family.config.model_dump(mode="json"), {}, data="", attempt="", store="")
    known = strangeness.known_errors(family.generator, tiny.split(), "cpu")
    jobs.save_model(store, "model", job, family.generator, family.card, errors=known)
    return tmp_path / "model"


def folder_of(images: np.ndarray, folder: Path) -> Path:
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image[0]).save(folder / f"{i}.png")
    return folder


def test_errors_are_mean_squares_of_pixels_from_0_to_1() -> None:
    errors = strangeness.errors_of(Flat(), greys([0.0, 0.1, 0.3] * 40))
    np.testing.assert_allclose(errors[:3], [0, 0.01, 0.09], atol=2e-3)
    np.testing.assert_array_equal(errors[:3], errors[-3:])


def test_known_errors_are_in_order_and_of_validation() -> None:
    split = Split(Shards([greys([0.3, 0.1, 0.2])]))
    known = strangeness.known_errors(Flat(), split, "cpu")
    assert known["n"] == 3 and known["split"] == "validation"
    np.testing.assert_allclose(known["values"], [0.01, 0.04, 0.09], atol=2e-3)


def test_strange_images_are_flagged_first(model: Path, tmp_path: Path) -> None:
    known = json.loads((model / "config.json").read_text())["errors"]["values"]
    folder = folder_of(tiny.split(16).images[:], tmp_path / "images")
    scored, threshold = scoring.score_folder(str(folder), model, 0.5)
    assert threshold == pytest.approx(np.quantile(known, 0.5))
    assert len(scored) == 16
    assert [one.score for one in scored] == sorted((one.score for one in scored), reverse=True)
    assert all(one.flagged == (one.score > threshold) for one in scored)
    assert 0 < sum(one.flagged for one in scored) < 16
    scoring.write_csv(scored, tmp_path / "out" / "scores.csv")
    rows = list(csv.DictReader((tmp_path / "out" / "scores.csv").open()))
    assert [row["file"] for row in rows] == [one.file for one in scored]
    assert [bool(int(row["flagged"])) for row in rows] == [one.flagged for one in scored]


@pytest.mark.parametrize("quantile", [0.0, 1.0, -3.0])
def test_a_quantile_lies_between_0_and_1(model: Path, tmp_path: Path, quantile: float) -> None:
    with pytest.raises(InputError, match=f"--quantile {quantile:g}: between 0 and 1"):
        scoring.score_folder(str(tmp_path), model, quantile)


def test_what_encodes_nothing_scores_nothing(tmp_path: Path) -> None:
    store, family = Store(str(tmp_path)), tiny.trainer("gan").family
    job = jobs.Fit("gan", family.config.model_dump(mode="json"), {}, data="", attempt="", store="")
    jobs.save_model(store, "model", job, family.generator, family.card)
    with pytest.raises(InputError, match="gan does not score images"):
        scoring.score_folder(str(tmp_path), tmp_path / "model", 0.9)


def test_bad_images_are_told(model: Path, tmp_path: Path) -> None:
    folder = folder_of(tiny.split(2).images[:], tmp_path / "images")
    values = np.zeros((8, 8), np.float32)
    values[3, 3] = np.nan
    Image.fromarray(values).save(folder / "nan.tiff")
    with pytest.raises(InputError, match=r"nan\.tiff.*not finite \(NaN or infinity\)"):
        scoring.score_folder(str(folder), model, 0.9)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="no images"):
        scoring.score_folder(str(empty), model, 0.9)
