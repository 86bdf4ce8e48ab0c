"""A PNG of samples says how they were made and that they are generated, and nothing of the machine."""

from __future__ import annotations

import getpass
import io
import json
import socket
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from components.common.errors import InputError
from components.common.hashing import digest
from components.records.model import ModelConfig, ModelOrigin
from components.sampling import png
from components.sampling.data_set import sample_data_set
from components.sampling.request import SampleOptions
from components.sampling.shards import Target
from components.sampling.to_file import sample_to_file
from components.sampling.to_folder import sample_to_folder
from components.store import Store
from tests.sampling.test_from_images import model

DESCRIPTION = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"
SOURCE_TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def made(file: Path) -> dict[str, object]:
    """How a picture was made, after a look at its mark."""
    with Image.open(file) as image:
        packet = image.info[png.XMP]
        (description,) = ElementTree.fromstring(packet[packet.index("<x:") :]).iter(DESCRIPTION)
        assert description.attrib[SOURCE_TYPE] == MEDIA
        return json.loads(image.info[png.MADE])


def test_a_sheet_says_how_it_was_made(tmp_path: Path) -> None:
    folder = model(tmp_path, "cgan", classes=3)
    content = json.loads((folder / "config.json").read_text())
    origin = ModelOrigin(run_id="20260501-run", step=400).to_json()
    (folder / "config.json").write_text(json.dumps(content | {"origin": origin}))
    for name in ("a", "b"):
        sample_to_file(folder, tmp_path / f"{name}.png", n=4, seed=5)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    result = made(tmp_path / "a.png")
    assert (result["run"], result["step"], result["family"], result["seed"]) == (
        "20260501-run",
        400,
        "cgan",
        5,
    )
    assert result["weights"] == digest(folder / "model.safetensors", "sha256") and result["image"] == "0 to 3"
    assert result["condition"] == [{"label": "0"}, {"label": "1"}, {"label": "2"}, {"label": "0"}]
    sample_to_file(folder, tmp_path / "c.png", n=4, options=SampleOptions(label="2"))
    assert made(tmp_path / "c.png")["condition"] == {"label": "2"}


def test_each_file_says_its_number_condition_and_settings(tmp_path: Path) -> None:
    folder = model(tmp_path, "diffusion", classes=3, sampler_steps=2)
    target = Target.of(f"{tmp_path}/out/")
    assert target is not None
    sample_data_set(Store(folder), "", target, n=3, options=SampleOptions(steps=3))
    result = [made(file) for file in sorted((tmp_path / "out").glob("*.png"))]
    assert [each["image"] for each in result] == [0, 1, 2]
    assert [each["condition"] for each in result] == [{"label": "0"}, {"label": "1"}, {"label": "2"}]
    settings = result[0]["settings"]
    assert isinstance(settings, dict) and settings["steps"] == 3 and settings["sampler"]


def test_a_source_is_named_by_its_hash_and_no_machine_is_named(
    tmp_path: Path, pictures: dict[str, Path]
) -> None:
    folder, options = model(tmp_path, "pix2pix"), SampleOptions(source=pictures["image"])
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.png").write_bytes(pictures["image"].read_bytes())
    sample_to_file(folder, tmp_path / "one.png", options=options)
    sample_to_file(folder, tmp_path / "two.png", n=2, options=options)
    sample_to_folder(folder, tmp_path / "out", SampleOptions(source=tmp_path / "in"))
    source = digest(pictures["image"], "sha256")
    assert made(tmp_path / "one.png")["source"] == made(tmp_path / "two.png")["source"] == source
    assert made(tmp_path / "out" / "x.png")["condition"] == {"source": source}
    for name in ("one.png", "two.png", "out/x.png"):
        with Image.open(tmp_path / name) as image:
            text = " ".join(map(str, image.info.values()))
        assert str(tmp_path) not in text and str(Path.home()) not in text
        assert socket.gethostname() not in text and getpass.getuser() not in text.split('"')


def test_other_alphabets_and_prompts_in_turn() -> None:
    config = ModelConfig(family="diffusion", config={"sampler_steps": 4}, card={})
    of = png.made_by(config, "0", 1)
    each = [png.of_image(of, i, prompts=("ein Hund", "犬")) for i in range(3)]
    sheet = png.encoded(np.zeros((2, 2, 3), np.uint8), png.of_sheet(each))
    with Image.open(io.BytesIO(sheet)) as image:
        read = json.loads(image.info[png.MADE])
    assert [each["prompt"] for each in read["condition"]] == ["ein Hund", "犬", "ein Hund"]


def test_pixels_survive_and_damaged_pictures_are_refused(tmp_path: Path) -> None:
    for channels in (1, 3):
        array = np.random.RandomState(0).randint(0, 256, (4, 5, channels)).astype(np.uint8)
        (tmp_path / "x.png").write_bytes(png.encoded(array, {"image": 0}))
        np.testing.assert_array_equal(png.decoded(tmp_path / "x.png"), array)
    (tmp_path / "x.png").write_bytes((tmp_path / "x.png").read_bytes()[:60])
    with pytest.raises(InputError, match=r"x.png cannot be read as a picture"):
        png.decoded(tmp_path / "x.png")
