"""What import-linter's contracts (pyproject.toml) cannot say of imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from models.registry import FAMILIES

ROOT = Path(__file__).parents[1]
SOURCES = {
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."): path
    for package in ("models", "components", "flows", "atelier")
    for path in sorted((ROOT / package).rglob("*.py"))
}


@pytest.mark.parametrize("module", [m for m in SOURCES if not m.startswith("models")])
def test_components_and_flows_name_no_family(module: str) -> None:
    tree = ast.parse(SOURCES[module].read_text())
    texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    assert not (texts | names) & set(FAMILIES)
    assert not names & {family.__name__ for family in FAMILIES.values()}


@pytest.mark.parametrize("module", [m for m in SOURCES if m.startswith("models")])
def test_models_import_torch_pydantic_and_the_standard_library_alone(module: str) -> None:
    names = set()
    for node in ast.walk(ast.parse(SOURCES[module].read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    assert names <= {"models", "torch", "pydantic"} | sys.stdlib_module_names


def test_the_package_models_imports_nothing() -> None:
    """Settings can be read without torch."""
    assert SOURCES["models.__init__"].read_text().count("import") == 0


def test_flows_do_not_import_ray_before_they_join_a_cluster() -> None:
    """Ray reads its environment as it is imported, and `ray_cluster.connect` sets it."""
    flows = [module for module in SOURCES if module.startswith("flows.") and "__main__" not in module]
    code = f"import sys, {', '.join(flows)}; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("module", ["evaluate", "views", "setup", "logs", "backfill", "decide", "addition"])
def test_a_command_that_trains_nothing_imports_no_torch(module: str) -> None:
    """It takes seconds and half a gigabyte, and jobs have processes of their own."""
    code = f"import sys, flows.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
