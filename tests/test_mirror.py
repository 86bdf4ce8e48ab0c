"""Tests mirror the packages: components/store/lease.py is tested in tests/store/test_lease.py.

A module that is tested through others is listed in THROUGH_OTHERS. The list may shrink; a new module has
tests of its own.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
DECISIONS = (ast.If, ast.IfExp, ast.BoolOp, ast.comprehension, ast.For, ast.While, ast.Try, ast.With)

THROUGH_OTHERS = [
    "components.analysis.anomaly",
    "components.analysis.divergence",
    "components.analysis.latent_space",
    "components.analysis.likelihood",
    "components.analysis.mixture_prior",
    "components.analysis.probing",
    "components.analysis.reconstruction",
    "components.analysis.view",
    "components.evaluation.external_jobs",
    "components.pipeline.confirmation",
    "components.pipeline.evaluate",
    "components.pipeline.external",
    "components.pipeline.extractor",
    "components.pipeline.latent_analysis",
    "components.pipeline.publish",
    "components.pipeline.reference",
    "components.pipeline.report",
    "components.pipeline.stage",
    "components.pipeline.sweep",
    "components.pipeline.train",
    "components.report.build",
    "components.report.checkpoints",
    "components.report.formatting",
    "components.report.index_page",
    "components.report.leaderboard",
    "components.report.metric_labels",
    "components.report.model_card",
    "components.report.reading",
    "components.report.results",
    "components.report.run_page",
    "components.report.sweep_plots",
    "components.report.sweep_reading",
    "components.report.sweep_tables",
    "components.training.health.events",
    "components.training.inputs",
    "components.training.result",
    "components.tuning.asha",
    "components.tuning.pbt",
    "components.tuning.recommendations",
    "components.tuning.repeat",
    "components.tuning.suggest",
    "flows.cli.champions",
]


def has_behaviour(path: Path) -> bool:
    """Whether a function or method of a module has several statements, or repeats or decides something.

    Constants, protocols and dataclasses whose methods only give something another name need no tests.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            body = [statement for statement in node.body if not is_docstring(statement)]
            if len(body) > 1 or any(isinstance(part, DECISIONS) for part in ast.walk(node)):
                return True
    return False


def is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def without_mirror() -> list[str]:
    """The modules with behaviour that have no tests of their own."""
    missing = []
    for top in ("components", "flows", "models"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            folder = Path("tests", *(parts[1:-1] if top == "components" else parts[:-1]))
            if path.name.startswith("__") or not has_behaviour(path):
                continue
            if not (ROOT / folder / f"test_{parts[-1]}.py").exists():
                missing.append(".".join(parts))
    return missing


def test_a_new_module_has_tests_of_its_own() -> None:
    assert sorted(set(without_mirror()) - set(THROUGH_OTHERS)) == []


def test_the_list_of_those_without_has_no_others() -> None:
    assert sorted(set(THROUGH_OTHERS) - set(without_mirror())) == []
