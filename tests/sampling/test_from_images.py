"""`atelier sample` from an image: enlarged, filled in, started from; and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from components.common.errors import InputError
from components.families import artifact, catalogue
from components.sampling.request import SampleOptions
from components.sampling.to_file import sample_to_file
from components.store import Store
from components.training import request
from flows.cli import app
from models.data_spec import DataSpec
from tests import tiny

SIDE = 8


def model(tmp_path: Path, family: str, classes: int = 0, **changes: Any) -> Path:
    """An exported model, untrained, with weights that say something."""
    config = {**tiny.CONFIGS[family], **changes}
    torch.manual_seed(0)
    built = catalogue.build(family, config, tiny.card_of(family, DataSpec(1, SIDE, classes)))
    for p in built.parameters():
        p.data += 0.02 * torch.randn_like(p)
    store = Store(str(tmp_path / family))
    job = request.TrainRequest(family, catalogue.config_of(family, config), {}, "data", "", store)
    artifact.save_model(store, "model", job.family, job.config, built.generator, built.card)
    return Path(store.path("model"))


def drawn(model: Path, tmp_path: Path, n: int = 2, **wishes: Any) -> np.ndarray:
    """The samples, (n, H, W)."""
    output = tmp_path / "out.png"
    sample_to_file(model, output, n=n, options=SampleOptions(**wishes))
    with Image.open(output) as image:
        return np.stack(np.split(np.asarray(image), n, axis=1))


def test_a_model_that_was_never_without_a_label_wants_one(tmp_path: Path, pictures: dict[str, Path]) -> None:
    folder = model(tmp_path, "inpainting", classes=3, condition_dropout=0, guidance_scale=1)
    with pytest.raises(InputError, match="--source: .* name the image's with --label"):
        drawn(folder, tmp_path, source=pictures["image"])
    assert len(drawn(folder, tmp_path, source=pictures["image"], label="1")) == 2


def test_samples_of_a_source_vary_by_dropout_alone(tmp_path: Path, pictures: dict[str, Path]) -> None:
    folder = model(tmp_path, "pix2pix")
    a, b = drawn(folder, tmp_path, source=pictures["image"])
    assert (a != b).any()
    a, b = drawn(folder, tmp_path, source=pictures["image"], dropout="off")
    np.testing.assert_allclose(a.astype(int), b.astype(int), atol=1)
    other, _ = drawn(folder, tmp_path, source=pictures["image"], dropout="off", statistics="training")
    assert abs(other.astype(int) - a).max() > 1


def test_either_direction_has_the_channels_of_its_domain(tmp_path: Path, pictures: dict[str, Path]) -> None:
    """CycleGAN's tiny sources have three channels, its images one."""
    folder = model(tmp_path, "cyclegan")
    for direction, mode in (("forward", "L"), ("backward", "RGB")):
        output = tmp_path / f"{direction}.png"
        options = SampleOptions(source=pictures["image"], direction=direction)
        shape = sample_to_file(folder, output, options=options).shape
        with Image.open(output) as image:
            assert image.mode == mode and image.size == (SIDE, SIDE)
            assert shape == (1, len(mode), SIDE, SIDE)


@pytest.mark.parametrize(("family", "wishes", "match"), [
    ("cyclegan", {"source": "image", "direction": "up"}, "--direction up is not accepted: it is forward or"),
    ("pix2pix", {"source": "image", "direction": "backward"}, "pix2pix leads in one direction alone"),
    ("pix2pix", {}, "pix2pix changes images: name one with --source FILE"),
    ("pix2pix", {"source": "image", "steps": 3}, "--steps 3: pix2pix has no such setting"),
    ("pix2pix", {"source": "image", "statistics": "batch"}, "--statistics batch is not accepted"),
    ("inpainting", {"source": "image", "dropout": "off"}, "--dropout off: inpainting has no such setting"),
    ("super_resolution", {}, "super_resolution enlarges images: name one with --source FILE"),
    ("inpainting", {}, "inpainting changes images: name one with --source FILE"),
    ("inpainting", {"source": "image", "mask": "large_mask"}, "has 8x16 pixels; the model's images have 8x8"),
    ("inpainting", {"source": "image", "mask": "broken"}, "--mask .*broken.png: not an image of a known"),
    ("inpainting", {"source": "broken"}, "--source .*broken.png: not an image of a known"),
    ("inpainting", {"source": "nan"}, r"--source .*nan.tiff: values that are not finite \(NaN or infinity\)"),
    ("inpainting", {"source": "image", "mask": "nan"}, "--mask .*nan.tiff: values that are not finite"),
    ("inpainting", {"source": "image", "mask": "cut"}, "--mask .*cut.png: damaged or truncated"),
    ("inpainting", {"source": "none"}, "--source .*none.png: No such file"),
    ("super_resolution", {"source": "small", "mask": "mask"}, "super_resolution cannot fill in parts"),
    ("super_resolution", {"source": "image"}, "has 8x8 pixels; the model enlarges images of 2x2"),
    ("diffusion", {"source": "image"}, "set the noise to add to it with --strength"),
    ("diffusion", {"source": "image", "strength": 0.0}, "--strength 0.0.*greater than 0"),
    ("diffusion", {"strength": 0.5}, "--strength 0.5: name the image to start from with --source FILE"),
    (
        "inpainting",
        {"source": "image", "mask": "mask", "strength": 0.5},
        "strength has no effect on inpainting",
    ),
    ("super_resolution", {"strength": 0.5}, "--strength 0.5: name the image to start from"),
    ("diffusion", {"steps": 0}, "--steps 0.*greater than or equal to 1"),
    ("dcgan", {"source": "image"}, "dcgan samples from noise alone: it takes no --source"),
    ("dcgan", {"strength": 0.5}, "dcgan has no such setting"),
])  # fmt: skip
def test_what_does_not_fit_is_one_sentence(
    tmp_path: Path,
    pictures: dict[str, Path],
    family: str,
    wishes: dict[str, Any],
    match: str,
) -> None:
    files = {
        name: pictures.get(value, value) if isinstance(value, str) else value
        for name, value in wishes.items()
    }
    with pytest.raises(InputError, match=match):
        drawn(model(tmp_path, family), tmp_path, **files)
    assert not (tmp_path / "out.png").exists()


def test_a_mixture_is_fitted_to_the_data_of_a_run(
    tmp_path: Path, digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, store, out = model(tmp_path, "autoencoder"), tmp_path / "store", tmp_path / "x.png"
    shutil.copytree(digits, store / "prepare" / "attempts" / "1" / "data")
    shutil.copytree(folder, store / "export" / "attempts" / "1")
    done = {"state": "ran", "attempt": 1}
    stages = [
        {"name": "prepare", "family": None, "uri": "prepare", **done},
        {"name": "export", "family": "autoencoder", "uri": "export", **done},
    ]
    Store(str(store)).write_json("runs/r1/run.json", {"run_id": "r1", "stages": stages})
    common = ["--prior", "mixture", "-n", "4", "--store", str(store), "-o", str(out)]
    for arguments, code, words in (
        ([str(folder)], 2, "--prior mixture: name a run in the store; a model's folder has no"),
        (["r1", "autoencoder", "--steps", "3"], 2, "--steps does not go with --prior mixture"),
        (["r1", "autoencoder"], 0, ""),
    ):
        with pytest.raises(SystemExit) as ended:
            app.main(["sample", *arguments, *common])
        assert ended.value.code == code and words in capsys.readouterr().err
        assert out.exists() == (code == 0)
    with Image.open(out) as image:
        assert image.size == (4 * SIDE, SIDE)


def test_the_command_line_ends_with_2(
    tmp_path: Path, pictures: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = model(tmp_path, "inpainting"), tmp_path / "cli.png"
    arguments = ["sample", str(folder), "-n", "2", "-o", str(output), "--source", str(pictures["image"])]
    for mask, code in (("large_mask", 2), ("mask", 0)):
        with pytest.raises(SystemExit) as ended:
            app.main([*arguments, "--mask", str(pictures[mask])])
        assert ended.value.code == code and output.exists() == (code == 0)
        assert ("8x16 pixels" in capsys.readouterr().err) == (code == 2)


@pytest.mark.parametrize(("change", "match"), [
    ({"family": "future"}, "does not describe a model of this version: KeyError, 'future'"),
    ({"family": None}, "does not describe a model of this version"),
    ({"card": {"channels": 1}}, "does not describe a model of this version: TypeError"),
])  # fmt: skip
def test_a_folder_of_another_version_is_one_sentence(
    tmp_path: Path, change: dict[str, Any], match: str
) -> None:
    folder = model(tmp_path, "dcgan")
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(described | change))
    with pytest.raises(InputError, match=match):
        drawn(folder, tmp_path)
    (folder / "config.json").write_text("[]")
    with pytest.raises(InputError, match="does not describe a model"):
        drawn(folder, tmp_path)
