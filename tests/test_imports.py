"""The arrows of the design: flows -> components -> models; frameworks only where they belong.

No family by name.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from models import FAMILIES

ROOT = Path(__file__).parents[1]
SOURCES = {
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."): path
    for package in ("models", "components", "flows")
    for path in sorted((ROOT / package).rglob("*.py"))
}
ONLY_IN = {
    "ray": ("components.launch", "components.tuning", "components.doctor"),
    "dvc": ("components.versioning",),
    "prefect": ("flows.",),
    "s3fs": ("components.storage",),
}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("module", SOURCES)
def test_no_arrow_points_the_wrong_way(module: str) -> None:
    names = {name.split(".")[0] for name in imported(SOURCES[module])}
    package = module.split(".")[0]
    if package == "models":
        assert names <= {"models", "torch", "pydantic"} | sys.stdlib_module_names
    if package == "components":
        assert "flows" not in names
    if package == "flows":
        assert not names & {"torch", "models", "torchvision"}


@pytest.mark.parametrize("module", SOURCES)
def test_frameworks_stay_where_they_belong(module: str) -> None:
    names = {name.split(".")[0] for name in imported(SOURCES[module])}
    for framework, places in ONLY_IN.items():
        assert framework not in names or module.startswith(places), f"{module} imports {framework}"


@pytest.mark.parametrize("module", [m for m in SOURCES if not m.startswith("models")])
def test_components_and_flows_name_no_family(module: str) -> None:
    tree = ast.parse(SOURCES[module].read_text())
    texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    assert not (texts | names) & set(FAMILIES)
    assert not names & {family.__name__ for family in FAMILIES.values()}
