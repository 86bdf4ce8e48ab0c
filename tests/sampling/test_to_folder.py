"""A folder in, a folder out: all of it or nothing, and nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.common.errors import InputError
from components.sampling import pictures as making
from components.sampling.request import SampleOptions
from components.sampling.to_file import sample_to_file
from components.sampling.to_folder import sample_to_folder
from flows.cli import app
from tests.sampling.test_from_images import SIDE, model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five images of the user's own: other sizes, formats, modes, and a folder in the folder."""
    folder, rng = tmp_path / "in", np.random.default_rng(0)
    (folder / "below").mkdir(parents=True)
    for name, mode, size in (
        ("a.jpg", "RGB", (30, 20)),
        ("a.png", "RGBA", (8, 8)),
        ("b.gif", "P", (9, 9)),
        ("c.png", "L", (8, 8)),
        ("below/d.tif", "CMYK", (11, 40)),
    ):
        pixels = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / name)
    return folder


NAMES = ["a.jpg.png", "a.png.png", "b.png", "below/d.png", "c.png"]


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def arrays(folder: Path) -> dict[str, np.ndarray]:
    return {name: np.asarray(Image.open(folder / name)) for name in files(folder)}


def test_each_image_has_its_translation(tmp_path: Path, folder: Path, monkeypatch: Any) -> None:
    exported, options = model(tmp_path, "pix2pix"), SampleOptions(source=folder, dropout="off")
    notes = sample_to_folder(exported, tmp_path / "out", options)
    assert files(tmp_path / "out") == NAMES
    assert notes[0].startswith("3 of 5 images were cut to the centre square, resized to 8x8 pixels")
    assert notes[-1] == f"5 images in {tmp_path / 'out'}"
    whole = arrays(tmp_path / "out")
    assert {image.shape for image in whole.values()} == {(SIDE, SIDE)}
    sample_to_file(
        exported, tmp_path / "c.png", options=SampleOptions(source=folder / "c.png", dropout="off")
    )
    alone = np.asarray(Image.open(tmp_path / "c.png")).astype(int)
    assert np.abs(alone - whole["c.png"]).max() <= 1, "as by itself, but for rounding"
    monkeypatch.setattr(making, "PIXELS", 2 * SIDE**2)  # in batches of two
    sample_to_folder(exported, tmp_path / "again", options)
    for name, image in arrays(tmp_path / "again").items():
        assert np.abs(image.astype(int) - whole[name]).max() <= 1
    assert not list(tmp_path.glob(".tmp-*"))


def test_either_direction_translates_folders(tmp_path: Path, folder: Path) -> None:
    exported = model(tmp_path, "cyclegan")
    for direction, shape in (("forward", (SIDE, SIDE)), ("backward", (SIDE, SIDE, 3))):
        out = tmp_path / direction
        sample_to_folder(exported, out, SampleOptions(source=folder, direction=direction))
        assert {image.shape for image in arrays(out).values()} == {shape}


def test_an_image_that_cannot_be_read_leaves_nothing(tmp_path: Path, folder: Path) -> None:
    exported = model(tmp_path, "pix2pix")
    (folder / "z.png").write_bytes((folder / "c.png").read_bytes()[:45])
    with pytest.raises(InputError, match=r"--source .*in/z.png: damaged or truncated"):
        sample_to_folder(exported, tmp_path / "out", SampleOptions(source=folder))
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".tmp-*"))


def test_files_that_exist_are_kept(tmp_path: Path, folder: Path) -> None:
    exported, out = model(tmp_path, "pix2pix"), tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    sample_to_folder(exported, out, SampleOptions(source=folder))
    assert files(out) == sorted([*NAMES, "mine.txt"])
    before = {name: (out / name).read_bytes() for name in files(out)}
    with pytest.raises(InputError, match=r"a.jpg.png and 4 more exist already; name another folder"):
        sample_to_folder(exported, out, SampleOptions(source=folder))
    with pytest.raises(InputError, match=r"c.png exists already"):  # also among the sources
        sample_to_folder(exported, folder, SampleOptions(source=folder))
    assert before == {name: (out / name).read_bytes() for name in files(out)}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "below").write_text("a file of the name of a folder")
    with pytest.raises(InputError, match=r"below exists already"):
        sample_to_folder(exported, tmp_path / "other", SampleOptions(source=folder))
    assert files(tmp_path / "other") == ["below"]


@pytest.mark.parametrize(("family", "more", "match"), [
    ("pix2pix", {"n": 3}, "-n 3: a folder of sources gets one sample for each image"),
    ("pix2pix", {"output": "out.png"}, "a folder of sources needs a folder for its samples"),
    ("dcgan", {}, "dcgan samples from noise alone: it takes no --source"),
    ("super_resolution", {}, "a.jpg has 30x20 pixels; the model enlarges images of 2x2"),
])  # fmt: skip
def test_what_does_not_fit_is_one_sentence(
    tmp_path: Path, folder: Path, family: str, more: dict[str, Any], match: str
) -> None:
    output = tmp_path / more.pop("output", "out")
    with pytest.raises(InputError, match=match):
        sample_to_folder(model(tmp_path, family), output, SampleOptions(source=folder), **more)
    assert not output.exists()


def test_the_command_line_takes_folders(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported, out = model(tmp_path, "pix2pix"), tmp_path / "out"
    command = ["sample", str(exported), "--source", str(folder), "-o", str(out)]
    for code, words in ((0, "5 images in"), (2, "exist already; name another folder")):
        with pytest.raises(SystemExit) as ended:
            app.main(command)
        assert ended.value.code == code and words in capsys.readouterr().err
    assert files(out) == NAMES
