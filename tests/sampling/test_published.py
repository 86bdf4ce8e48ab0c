"""The published samples are drawn again from a model's folder alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.common.errors import InputError
from components.data.text.encoded import EncodedCaptions, SplitCaptions
from components.records.model import ModelConfig, ModelOrigin, PublishedSamples
from components.sampling import generate, png, published
from components.store import Store
from tests.publishing.exported import N, noise
from tests.sampling.test_from_images import model


def written(tmp_path: Path, family: str, fixed: dict[str, Any], **changes: Any) -> Path:
    """The folder of a model with its published samples."""
    folder = model(tmp_path, family, **changes)
    generator, card, config = published.load_model(folder)
    images = generate.draw(generator, card, n=N, seed=3, batch=4, **fixed)
    config.origin = ModelOrigin(run_id="r", step=5)
    record = PublishedSamples(n=N, seed=3, threads=1, batch=4)
    published.write(Store(folder), config, record, fixed, images, "0" * 64)
    return folder


@pytest.mark.parametrize(
    ("family", "fixed", "changes"),
    [
        ("dcgan", {}, {}),
        ("cgan", {"labels": np.arange(N) % 3}, {"classes": 3}),
        ("autoencoder", {"images": noise()}, {}),
        ("pix2pix", {"sources": noise(channels=3)}, {}),
    ],
)
def test_samples_are_drawn_again_bit_for_bit(
    tmp_path: Path, family: str, fixed: dict[str, Any], changes: dict[str, Any]
) -> None:
    folder = written(tmp_path, family, fixed, **changes)
    result = published.reproduce(folder)
    assert (result.images, result.difference, result.error) == (N, 0.0, None)
    assert result.machine and result.machine.processor and result.machine.torch
    assert (folder / published.CONDITIONS).exists() is bool(fixed)


def test_conditions_survive_a_file(tmp_path: Path) -> None:
    table = EncodedCaptions(np.random.RandomState(0).randn(3, 2, 4).astype(np.float16), np.ones((3, 2), bool))
    fixed = {"text": SplitCaptions(table, np.array([2, 0, 2])), "labels": np.array([1, 0, 1])}
    (tmp_path / published.CONDITIONS).write_bytes(published.save(published.arrays_of(fixed)))
    read = published.conditions_in(tmp_path, 3)
    for ours, reference in zip(fixed["text"].tensors(), read["text"].tensors(), strict=True):  # type: ignore[attr-defined]
        np.testing.assert_array_equal(ours, reference)
    np.testing.assert_array_equal(read["labels"], fixed["labels"])


def test_pictures_say_how_each_was_made(tmp_path: Path) -> None:
    folder = written(tmp_path, "cgan", {"labels": np.arange(N) % 3}, classes=3)
    with Image.open(folder / "samples/01.png") as image:
        made = json.loads(image.info[png.MADE])
    assert made["condition"] == {"label": "1"} and made["image"] == 1
    assert (made["run"], made["step"], made["seed"], made["family"]) == ("r", 5, 3, "cgan")
    assert len(list((folder / "samples").iterdir())) == published.ALONE


def test_what_differs_or_does_not_load_is_found(tmp_path: Path) -> None:
    folder = written(tmp_path, "dcgan", {})
    sheet = png.decoded(folder / published.SHEET)
    other = 255 - sheet
    Image.fromarray(other[..., 0]).save(folder / published.SHEET)
    assert published.reproduce(folder).error == "samples/00.png is not sample 0 of samples.png"
    Image.fromarray(other[:8, ..., 0]).save(folder / published.SHEET)
    assert "the samples drawn fill" in str(published.reproduce(folder).error)
    (folder / published.SHEET).write_bytes(b"no picture")
    assert "cannot be read as a picture" in str(published.reproduce(folder).error)
    (folder / published.CONDITIONS).write_bytes(b"damaged")
    assert "conditions.safetensors cannot be read" in str(published.reproduce(folder).error)
    (folder / published.RECORD).write_text("[]")
    assert "samples.json cannot be read" in str(published.reproduce(folder).error)
    (folder / published.RECORD).unlink()
    with pytest.raises(InputError, match="export the model with this version"):
        published.read_record(folder)


def test_what_the_folder_does_not_know_is_not_made_up(tmp_path: Path) -> None:
    _, _, config = published.load_model(model(tmp_path, "dcgan"))
    assert isinstance(config, ModelConfig) and config.origin is None
    assert "run" not in png.made_by(config, "0", 1)
