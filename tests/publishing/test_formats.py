"""A model in other formats draws its published samples, or is not published in them, and says so."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from components.common.errors import InputError
from components.data.dataset import open_split
from components.publishing import formats, graphs
from components.publishing.format_card import section
from components.publishing.formats import ONNX, TORCH
from components.publishing.publish import MANIFEST, publish
from components.publishing.verify import verify
from components.records.formats import GraphFormats
from components.records.run import RunManifest
from components.sampling import published
from components.store import Store
from flows.cli import app
from models.family import Batch, Generator, Noise
from tests.publishing.exported import RUN, export, record

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # torch traces for long on a crowded machine


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, digits: Path) -> Any:
    """A function that writes a family in both formats: its folder, that of the formats, and their record."""
    done: dict[str, tuple[Path, Path, GraphFormats]] = {}

    def of(family: str, **changes: Any) -> tuple[Path, Path, GraphFormats]:
        if family not in done:
            root = tmp_path_factory.mktemp(family)
            store, split = Store(str(root / "store")), open_split(digits, published.SPLIT)
            folder, to = store.local_copy(export(store, split, root, family, **changes)), root / "formats"
            to.mkdir()
            done[family] = folder, to, formats.write(folder, (ONNX, TORCH), to)
        return done[family]

    return of


FAMILIES = ("cgan", "autoencoder", "diffusion")  # from noise and classes, from images, step by step


@pytest.mark.parametrize("family", FAMILIES)
def test_both_formats_draw_the_published_samples(written: Any, family: str) -> None:
    _, to, result = written(family)
    assert [each.error for each in result.formats] == [None, None]
    assert all((each.difference or 0) <= formats.TOLERANCE for each in result.published)
    assert sorted(path.name for path in to.iterdir()) == ["model.onnx", "model.pt2"]
    for file in to.iterdir():
        assert not re.search(rb"/(work|home|root|tmp|usr)/|\.py\b", file.read_bytes()), (
            "no path of this machine"
        )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", [ONNX, TORCH])
def test_a_graph_takes_any_number_of_images(written: Any, family: str, name: str) -> None:
    _, to, result = written(family)
    run = formats.OPEN[name](to / next(each.files["model"] for each in result.formats if each.format == name))
    one, five = (run(inputs_of(result.inputs["model"], n)) for n in (1, 5))
    assert len(one) == 1 and len(five) == 5 and torch.allclose(one[0], five[0], atol=1e-4)


def inputs_of(described: Mapping[str, Any], n: int) -> dict[str, torch.Tensor]:
    """Inputs of a graph, of which those of the first image are always the same."""
    generator = torch.Generator().manual_seed(0)
    values = {}
    for name, inputs in described.items():
        if name in ("time", "alpha", "sigma"):
            values[name] = torch.tensor(0.5)
        elif inputs.dtype == "int64":
            values[name] = torch.arange(n)
        else:
            values[name] = torch.randn(5, *inputs.shape, generator=generator)[:n]
    return values


@pytest.mark.parametrize("name", [ONNX, TORCH])
def test_the_example_in_the_card_needs_no_atelier(written: Any, tmp_path: Path, name: str) -> None:
    """Those of all families, in one process, which imports torch or onnxruntime once."""
    for family in FAMILIES:
        _, to, result = written(family)
        folder = shutil.copytree(to, tmp_path / family)
        (folder / "formats.json").write_text(json.dumps(result.to_json()))
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(folder / "image.png")
        blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", section(result), re.M)
        (program,) = [
            block for block in blocks if {ONNX: "onnxruntime", TORCH: "torch.export"}[name] in block
        ]
        assert "atelier" not in program and "components" not in program
        (folder / "example.py").write_text(re.sub("^    ", "", program, flags=re.M))
    each = "import os, runpy, sys\nfor f in sys.argv[1:]: os.chdir(f); runpy.run_path('example.py')"
    command = [sys.executable, "-P", "-c", each, *(str(tmp_path / family) for family in FAMILIES)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"PATH": ""})
    assert done.returncode == 0, done.stderr
    for family in FAMILIES:
        with Image.open(tmp_path / family / "drawn.png") as image:
            assert image.size == (8 if family == "autoencoder" else 8 * 16, 8)


def test_a_format_that_draws_other_samples_is_not_published(
    written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder, _, _ = written("cgan")

    def wrong(path: Path) -> graphs.Run:
        run = original(path)
        return lambda inputs: run(inputs).clamp(max=0)

    original = formats.OPEN[ONNX]
    monkeypatch.setitem(formats.OPEN, ONNX, wrong)
    result = formats.write(folder, (ONNX, TORCH), tmp_path)
    assert [each.format for each in result.published] == [TORCH]
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt2"]
    assert "no onnx is published: it draws other samples" in section(result)
    assert "no onnx is published: it draws other samples" in caplog.text


def test_a_model_that_torch_cannot_trace_says_so(
    written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, _ = written("cgan")
    load = formats.load_model

    def untraceable(folder: Path) -> Any:
        generator, card, config = load(folder)

        class Branching(Generator):
            def sample(self, batch: Batch, noise: Noise) -> torch.Tensor:
                images = generator.sample(batch, noise)
                return images if images.sum() > 0 else images.clone()

        return Branching(), card, config

    monkeypatch.setattr(formats, "load_model", untraceable)
    result = formats.write(folder, (ONNX, TORCH), tmp_path)
    assert result.published == [] and list(tmp_path.iterdir()) == []
    assert all("torch.export cannot trace it" in str(each.error) for each in result.formats)
    assert section(result).count("torch.export cannot trace it") == 2 and "import numpy" not in section(
        result
    )


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    formats.need((TORCH,))
    with pytest.raises(InputError, match=r"needs the package onnx; install it with `pip install 'atelier"):
        formats.need((TORCH, ONNX))
    assert importlib.util.find_spec("onnx")


def test_a_run_is_published_with_formats_and_verified(tmp_path: Path, digits: Path) -> None:
    store, split = Store(str(tmp_path / "store")), open_split(digits, published.SPLIT)
    folders = {"cgan": export(store, split, tmp_path, "cgan")}
    place, notes = store.child("published", RUN), list[str]()
    run: RunManifest = record(store, folders)
    publish(store, run, place, folders, None, graphs=(ONNX, TORCH), notes=notes)
    assert len(notes) == 2 and all(note.startswith("cgan: model.") for note in notes)
    model = place.child("models", "cgan")
    assert {"model.onnx", "model.pt2", "formats.json"} <= set(model.find())
    assert "## Without Atelier" in model.read_text("README.md")
    first = place.read_json(MANIFEST)
    publish(store, run, place, folders, None, graphs=(ONNX, TORCH))
    assert place.read_json(MANIFEST) == first, "the same model has the same bytes"
    whole, verified = verify(place)
    assert whole.problems == verified.problems == []
    assert any("model.onnx draws its published ones" in sentence for sentence in verified.holds)
    assert any("model.pt2 was not opened" in sentence for sentence in verified.holds)


@pytest.mark.usefixtures("home")
def test_the_command_refuses_other_formats(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        app.main(["publish", "r1", "--format", "gguf"])
    assert stopped.value.code == 2 and "gguf" in capsys.readouterr().err


def test_without_the_runtime_onnx_is_not_verified(
    written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, result = written("cgan")
    for file in folder.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "formats.json").write_text(json.dumps(result.to_json()))
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    sentences = dict(formats.verified(tmp_path))
    assert all(sentences.values()) and any(
        "which needs the package onnxruntime" in each for each in sentences
    )
    monkeypatch.undo()
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    assert [holds for text, holds in formats.verified(tmp_path) if "does not run" in text] == [False]
