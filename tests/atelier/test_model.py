"""Loading and sampling in Python: the samples of the command line, and errors that name arguments."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import atelier
from atelier.model import Settings
from components.sampling.request import SampleOptions
from components.sampling.styles import StyleOptions
from components.sampling.to_file import sample_to_file
from components.store import Store
from tests.registry.exports import export
from tests.sampling.test_from_images import SIDE, model

ROOT = Path(__file__).parents[2]
HEAVY = ("prefect", "ray", "dvc", "torchvision", "sklearn", "scipy", "optuna", "cyclopts", "rich", "jinja2")
HEAVY += ("torch._dynamo",)  # the compiler


def named(folder: Path, labels: list[str]) -> Path:
    """The same model, whose classes have names."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"labels": labels}))
    return folder


def test_settings_are_those_of_the_command_line() -> None:
    others = {"label", "source", "mask", "prompts"}
    assert set(Settings.__annotations__) == {field.name for field in fields(StyleOptions)} - others


def test_samples_are_those_of_the_command_line(tmp_path: Path) -> None:
    folder = model(tmp_path, "cgan", classes=3)
    expected = sample_to_file(folder, tmp_path / "x.png", n=5, seed=3, options=SampleOptions(label="1"))
    loaded = atelier.load(folder)
    assert loaded.family == "cgan" and loaded.shape == (SIDE, SIDE, 1) and not loaded.needs_source
    assert "Mirza" in loaded.paper and repr(loaded).endswith("cgan, 8x8x1)")
    images = loaded.sample(5, seed=3, label=1)
    assert images.shape == (5, SIDE, SIDE, 1) and images.dtype == np.uint8 and images.flags.c_contiguous
    np.testing.assert_array_equal(images[..., 0], expected[:, 0])
    np.testing.assert_array_equal(loaded.sample(2, seed=3, label="1"), images[:2])
    drawn = loaded.sample(5, seed=3, label=1, output_type="pil")
    assert [image.mode for image in drawn] == ["L"] * 5
    np.testing.assert_array_equal(np.stack([np.asarray(image) for image in drawn]), images[..., 0])
    assert len(loaded.sample()) == 16


def test_a_number_is_that_of_a_class_and_a_text_its_name(tmp_path: Path) -> None:
    loaded = atelier.load(named(model(tmp_path, "cgan", classes=3), ["2", "1", "cat"]))
    assert loaded.labels == ["2", "1", "cat"]
    np.testing.assert_array_equal(loaded.sample(2, label=0), loaded.sample(2, label="2"))
    np.testing.assert_array_equal(loaded.sample(2, label=2), loaded.sample(2, label="cat"))
    assert (loaded.sample(2, label=0) != loaded.sample(2, label="cat")).any()
    for label in (3, -1, "dog"):
        with pytest.raises(atelier.InputError, match=f"^label={label}: unknown class; known: 2, 1, cat"):
            loaded.sample(1, label=label)


def test_settings_of_one_call_do_not_stay(tmp_path: Path) -> None:
    loaded = atelier.load(model(tmp_path, "diffusion", sampler_steps=2))
    before = loaded.sample(2)
    assert (loaded.sample(2, steps=4) != before).any()
    np.testing.assert_array_equal(loaded.sample(2), before)


def test_a_source_is_a_file_an_array_or_an_image(tmp_path: Path, pictures: dict[str, Path]) -> None:
    loaded = atelier.load(model(tmp_path, "pix2pix"))
    assert loaded.needs_source
    path = pictures["image"]
    image = Image.open(path)
    array = np.asarray(image)
    one = loaded.sample(source=path)
    assert one.shape == (1, SIDE, SIDE, 1)
    for source in (str(path), image, array, array[..., None], array[None, ..., None], [path]):
        np.testing.assert_array_equal(loaded.sample(source=source), one)
    assert loaded.sample(3, source=array).shape == (3, SIDE, SIDE, 1)
    several = loaded.sample(source=[path, array])
    assert several.shape == (2, SIDE, SIDE, 1)
    np.testing.assert_array_equal(several[:1], one)


def test_enlarged_images_keep_their_transparency_as_images(tmp_path: Path) -> None:
    loaded = atelier.load(model(tmp_path, "super_resolution"))
    source = Image.new("LA", (2, 2), (200, 0))
    (image,) = loaded.sample(source=source, output_type="pil")
    assert image.mode == "LA" and image.size == (SIDE, SIDE)
    assert loaded.sample(source=source).shape == (1, SIDE, SIDE, 1)


def test_a_mask_is_filled_in(tmp_path: Path, pictures: dict[str, Path]) -> None:
    loaded = atelier.load(model(tmp_path, "inpainting"))
    source, hole = np.asarray(Image.open(pictures["image"])), np.asarray(Image.open(pictures["mask"]))
    filled = loaded.sample(source=source, mask=hole)[0, ..., 0]
    np.testing.assert_array_equal(filled[hole == 0], source[hole == 0])


@pytest.mark.parametrize(
    ("family", "wishes", "sentence"),
    [
        ("dcgan", {"label": 1}, "^label=1: this model was trained without labels"),
        ("dcgan", {"prompt": "a cat"}, "^prompt='a cat'|^prompt=.*trained without captions"),
        ("dcgan", {"n": 0}, "^n=0: at least one is needed"),
        ("dcgan", {"output_type": "torch"}, "^output_type='torch' is not accepted"),
        ("dcgan", {"guidance": 3}, "unknown setting 'guidance'.*guidance_scale"),
        ("dcgan", {"guidance_scale": 3.0}, "^guidance_scale=3.0: dcgan has no such setting"),
        ("pix2pix", {}, "pix2pix changes images: name one with source=FILE"),
        ("pix2pix", {"source": "nowhere.png"}, "^source=nowhere.png: No such file"),
        ("pix2pix", {"source": []}, "^source: there are no images"),
        ("pix2pix", {"source": np.zeros((8, 8), np.float32)}, "^source: arrays have .* uint8, not float32"),
        ("pix2pix", {"source": np.zeros((8, 8, 7), np.uint8)}, "^source: .*not .8, 8, 7."),
        ("pix2pix", {"source": np.zeros((2, 8, 8, 1), np.uint8), "n": 3}, "^n=3: 2 sources get one sample"),
        ("super_resolution", {"source": np.zeros((8, 8), np.uint8)}, r"^source\[0\] has 8x8 pixels; the mod"),
    ],
)
def test_errors_name_arguments(tmp_path: Path, family: str, wishes: dict[str, Any], sentence: str) -> None:
    loaded = atelier.load(model(tmp_path, family))
    with pytest.raises(atelier.InputError, match=sentence):
        loaded.sample(**wishes)


def test_a_model_is_that_of_a_folder_a_url_or_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, store = model(tmp_path, "dcgan"), Store(str(tmp_path / "store"))
    files = {name: (folder / name).read_bytes() for name in ("model.safetensors", "config.json")}
    export(store, "r1", "dcgan", files)
    expected = atelier.load(folder).sample(2)
    monkeypatch.chdir(folder.parent)
    for address in ("model", f"file://{folder}", "r1/dcgan", "latest/dcgan"):
        np.testing.assert_array_equal(atelier.load(address, store=store.url).sample(2), expected)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        (".", "is not a model folder: it has no config.json and no model.safetensors"),
        ("nowhere", "names no model: give RUN/FAMILY, or the folder or URL"),
        ("file:///nowhere/model", "is not a model folder: it needs"),
        ("latest/dcgan", "store has no run yet; `atelier run` begins the first"),
    ],
)
def test_a_model_that_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(atelier.InputError, match=sentence):
        atelier.load(address, store=str(tmp_path / "store"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", ["dcgan", "diffusion"])
def test_loading_and_sampling_import_nothing_heavy(tmp_path: Path, family: str) -> None:
    code = (
        "import sys, atelier; "
        f"assert atelier.load({str(model(tmp_path, family))!r}).sample(2).shape == (2, 8, 8, 1); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
