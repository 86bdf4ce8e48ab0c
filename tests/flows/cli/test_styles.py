"""`atelier interpolate`, `mix`, `project` and `path-length`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.flows.cli.test_app import call
from tests.sampling.style_models import saved


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(saved(tmp_path_factory.mktemp("store")))


def test_each_command_writes_its_files(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    out = str(tmp_path / "mix.png")
    code, stdout, err = call(capsys, "mix", model, "--rows", "1,2", "--columns", "3-5", "-o", out)
    assert (code, stdout) == (0, f"{out}\n") and "layers 0 to 0 of 4 are those of the columns" in err
    assert Image.open(out).size == (4 * 8, 3 * 8)

    out = str(tmp_path / "loop.webp")
    code, stdout, err = call(capsys, "interpolate", model, "--seeds", "1,2", "--frames", "6", "-o", out)
    assert (code, stdout) == (0, f"{out}\n") and "6 frames through 2 points, and back" in err

    Image.fromarray(np.full((8, 8), 90, np.uint8)).save(tmp_path / "grey.png")
    out = str(tmp_path / "found.png")
    code, stdout, err = call(
        capsys, "project", model, "stylegan2", str(tmp_path / "grey.png"), "--steps", "3", "-o", out
    )
    point = str(tmp_path / "found.safetensors")
    assert (code, stdout.split()) == (0, [out, point]) and "mean squared error" in err

    code, stdout, _ = call(capsys, "path-length", model, "-n", "4", "--network", "pixels", "--json")
    result = json.loads(stdout)
    assert code == 0 and result["value"] > 0 and result["recipe"]["metric"] == "ppl_w_ends"
    code, stdout, _ = call(capsys, "path-length", model, "-n", "4", "--network", "pixels")
    assert (
        stdout.startswith(f"PPL {result['value']:.4g} (") and "in w, at the ends of paths, by pix" in stdout
    )

    out = f"{tmp_path}/frames/"
    code, stdout, _ = call(capsys, "interpolate", model, "--seeds", f"1,{point}", "--frames", "4", "-o", out)
    assert code == 0 and len(list(Path(out).iterdir())) == 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["interpolate", "--seeds", "1", "-o", "x.webp"], "--seeds '1' names 1 points"),
        (["interpolate", "--seeds", "1,2", "-o", "x.mp4"], "-o x.mp4: stills are written as .png"),
        (["interpolate", "--seeds", "1,2", "--truncation", "2", "-o", "x.png"], "--truncation 2.0 is not a"),
        (["interpolate", "--seeds", "1,2", "--space", "y", "-o", "x.png"], '"y" for --space'),
        (["mix", "--layers", "9", "-o", "x.png"], "--layers 9 is not accepted"),
        (["mix", "-o", "x.gif"], "-o x.gif: pictures are written as .png or .webp"),
        (["project", "stylegan2", "none.png", "-o", "x.png"], "the target none.png: No such file"),
        (["project", "stylegan2", "none.png", "--steps", "0", "-o", "x.png"], "--steps 0"),
        (["path-length", "-n", "1"], "-n 1: two paths are needed"),
        (["path-length", "--network", "extractor"], "--network extractor: name a run whose extractor"),
    ],
)
def test_bad_input_is_one_sentence(
    home: Path, capsys: pytest.CaptureFixture[str], model: str, arguments: list[str], sentence: str
) -> None:
    command, *others = arguments
    code, out, err = call(capsys, command, model, *others)
    assert code == 2 and out == "" and sentence in err and len(err.splitlines()) == 1


def test_families_without_styles_are_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(saved(tmp_path, "dcgan"))
    for command in (["interpolate", "--seeds", "1,2"], ["mix"]):
        code, _, err = call(capsys, command[0], model, *command[1:], "-o", str(tmp_path / "x.png"))
        assert code == 2 and f"atelier {command[0]}: dcgan has no space W of styles" in err
    code, _, err = call(capsys, "project", model, "dcgan", "x.png", "-o", str(tmp_path / "x.png"))
    assert code == 2 and "atelier project: dcgan has no space W of styles" in err
