"""The card's example runs for every kind of input; here with a graph in NumPy, without any runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.publishing import format_card
from components.records.formats import GraphFormat, GraphFormats, GraphInput

X = {"x": GraphInput(shape=[3, 8, 8]), "time": GraphInput(), "alpha": GraphInput(), "sigma": GraphInput()}
TEXT = {"text": GraphInput(shape=[None, 4]), "text_mask": GraphInput(shape=[None], dtype="bool")}
LEVELS = [[1.0, 0.0, 1.0], [0.5, 0.5, 0.5], [0.0, 1.0, 0.0]]
KINDS: dict[str, tuple[Mapping[str, GraphInput], bool, int]] = {  # inputs, step by step, samples
    "noise and classes": (
        {"noise": GraphInput(shape=[5], drawn="normal"), "label": GraphInput(dtype="int64")},
        False,
        16,
    ),
    "uniform noise and a source": (
        {"noise": GraphInput(shape=[5, 1], drawn="uniform"), "source": GraphInput(shape=[3, 4, 4])},
        False,
        1,
    ),
    "steps with captions": ({**X, **TEXT}, True, 16),
    "steps that fill in a hole": ({**X, "image": GraphInput(shape=[4, 8, 8])}, True, 1),
}


class Session:
    """A graph that checks its inputs and draws grey."""

    inputs: Mapping[str, GraphInput] = {}

    def __init__(self, file: str):
        assert file == "model.onnx"

    def run(self, outputs: None, inputs: dict[str, Any]) -> list[np.ndarray]:
        assert list(inputs) == list(self.inputs)
        n = max(len(value) for value in inputs.values() if value.ndim)
        for name, declared in self.inputs.items():
            shape = [size or 1 for size in declared.shape]
            scalar = name in ("time", "alpha", "sigma")
            assert inputs[name].shape == (() if scalar else (n, *shape)), name
            assert str(inputs[name].dtype) == declared.dtype, name
        return [np.zeros((n, 3, 8, 8), np.float32)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_calls_the_graph_with_what_it_takes(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, steps, n = KINDS[kind]
    onnx = GraphFormat(format="onnx", files={"model": "model.onnx"}, difference=0.0, largest=0.0)
    record = GraphFormats(
        inputs={"model": inputs}, levels=LEVELS if steps else [], num_classes=3, formats=[onnx]
    )
    runtime = ModuleType("onnxruntime")
    monkeypatch.setattr(Session, "inputs", inputs)
    monkeypatch.setattr(runtime, "InferenceSession", Session, raising=False)
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", runtime)
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (20, 10)).save("image.png")
    Path("formats.json").write_text(json.dumps(record.to_json()))
    exec("\n".join(format_card.example(record, "onnx", onnx.files)), {})
    with Image.open("drawn.png") as image:
        assert image.size == (8 * n, 8)


def test_what_is_not_published_is_said() -> None:
    failed = GraphFormat(format="onnx", error="it draws other samples, 3 of 255 levels apart on average")
    text = format_card.section(GraphFormats(inputs={"model": X}, levels=LEVELS, formats=[failed]))
    assert text.splitlines() == [
        "## Without Atelier",
        "",
        "- no onnx is published: it draws other samples, 3 of 255 levels apart on average.",
    ]
