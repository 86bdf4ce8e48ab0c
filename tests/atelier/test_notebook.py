"""The cells of docs/python.ipynb run from top to bottom, inside an event loop, as a Jupyter kernel runs them.

No kernel is needed, and none is tested.
"""

from __future__ import annotations

import ast
import asyncio
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from PIL import Image
from prefect.settings import PREFECT_API_URL, temporary_settings

NOTEBOOK = Path(__file__).parents[2] / "docs" / "python.ipynb"


@pytest.fixture
def project(home: Path, digits: Path, prefect_server: str, ray_cluster: str) -> Iterator[None]:
    """The session's home, Prefect and Ray, which stays connected; the store is removed."""
    with (
        mock.patch.dict(os.environ),
        mock.patch("components.cluster.ray_cluster.disconnect"),
        temporary_settings(updates={PREFECT_API_URL: prefect_server}),
    ):
        yield
    shutil.rmtree(home / "output")


SHORTER = {
    '"steps": 300': '"steps": 30',
    '"samples": 300': '"samples": 100, "extractor_steps": 16, "classifier_steps": 8',
    "sample(400,": "sample(100,",
    "assume_independent=True)": "assume_independent=True, extractor_steps=16, classifier_steps=8)",
}


def cells() -> list[str]:
    """The cells of code, with a short training and little to evaluate."""
    notebook = json.loads(NOTEBOOK.read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for text, short in SHORTER.items():
        assert sum(cell.count(text) for cell in cells) == 1, text
        cells = [cell.replace(text, short) for cell in cells]
    return cells


async def execute(sources: list[str]) -> tuple[dict[str, Any], list[Any]]:
    """Run cells in one namespace; return it, and the value of each cell's last expression."""
    namespace: dict[str, Any] = {}
    values = []
    for source in sources:
        *body, last = ast.parse(source).body
        value = None
        if not isinstance(last, ast.Expr):
            body.append(last)
        exec(compile(ast.Module(body, []), "cell", "exec"), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)
        values.append(value)
    return namespace, values


@pytest.mark.pipeline
@pytest.mark.timeout(1200)
def test_the_notebook_runs(project: None, capsys: pytest.CaptureFixture[str]) -> None:
    namespace, values = asyncio.run(execute(cells()))
    run_id, status = values[0]
    assert status == "done" and "kid" in capsys.readouterr().out
    sheet = values[2]
    assert isinstance(sheet, Image.Image) and sheet.size == (80, 32)
    metrics = namespace["evaluation"].metrics
    assert values[3]["kid"] == metrics["kid"].value
    assert values[4][0] == (run_id, "done", ["dcgan"])


def test_the_notebook_has_no_outputs_of_this_machine() -> None:
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None
