"""Tasks are objects: what they mean is said in one table."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from components.data.dataset import Split
from components.families.catalogue import task_of
from components.families.tasks import TASKS
from components.sampling.conditions import target_images
from models.registry import FAMILIES

ROOT = Path(__file__).parents[2]
SOURCES = [path for top in ("components", "flows") for path in sorted((ROOT / top).rglob("*.py"))]


def test_tasks_are_compared_as_strings_nowhere() -> None:
    compared = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                parts = [node.left, *node.comparators]
                values = {
                    leaf.value for part in parts for leaf in ast.walk(part) if isinstance(leaf, ast.Constant)
                }
                if values & set(TASKS):
                    compared.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert compared == []


def test_samples_are_made_from_what_the_task_says(monkeypatch: pytest.MonkeyPatch) -> None:
    images, sources = np.zeros((4, 1, 8, 8), np.uint8), np.ones((4, 3, 4, 4), np.uint8)
    split = Split(images, None, sources=sources)
    for name, task in TASKS.items():
        monkeypatch.setattr(FAMILIES["vae"], "task", name)
        made_from = target_images("vae", split)
        expected = {"noise": {}, "image": {"images": images}, "source": {"sources": sources}}
        assert made_from.keys() == expected[task.made_from].keys()
    without = Split(images, None)
    monkeypatch.setattr(FAMILIES["vae"], "task", "translate_unpaired")
    assert list(target_images("vae", without)) == ["images"], "a family may make its source of the image"
    assert not task_of("vae").has_target and task_of("vae").real == "real images"


def test_the_entries_of_the_table_agree_with_themselves() -> None:
    for name, task in TASKS.items():
        assert ("pairs" in task.metrics) is task.has_target is ("target" in task.sheet), name
        assert ("pairs" in task.metrics) is not ("set" in task.metrics), name
        assert bool(task.baselines) is (task.made_from == "source") is ("source" in task.sheet), name
        assert ("bicubic" in task.baselines) is task.smaller_source, name
        assert "nearest_pair" not in task.baselines or task.paired, name
        assert "output" in task.sheet and task.paired is task.has_target, name
