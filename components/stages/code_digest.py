"""Digests of the code that a stage can reach."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

from components.common.hashing import sha256
from models.search_space import SEARCH_ARGUMENTS

CODE = Path(__file__).parents[2]

PACKAGES = ("components", "models", "flows")

# Packages and modules that decide about paths, scheduling and display but do not affect results. A change
# in them redoes nothing. The registry of families is neutral because the file of each family is digested.
NEUTRAL = (
    "components.cluster",
    "components.common.atomic",
    "components.common.errors",
    "components.common.hashing",
    "components.common.locks",
    "components.common.paths",
    "components.common.memory",
    "components.common.public",
    "components.common.validation",
    "components.config",
    "components.data.versioning",
    "components.evaluation.requests",
    "components.pipeline",
    "components.records",
    "components.registry",
    "components.sampling.pictures",
    "components.sampling.read_image",
    "components.sampling.source_files",
    "components.stages",
    "components.store",
    "components.training.request",
    "components.training.throughput",
    "models.registry",
    "models.search_space",
)


def is_neutral(module: str) -> bool:
    """Return whether a module is in NEUTRAL or in a package that is."""
    return any(module == name or module.startswith(f"{name}.") for name in NEUTRAL)


def code(*roots: str) -> dict[str, str]:
    """Return the digests of the modules `roots` and of the project's modules that they import, transitively.

    Neutral modules are left out, and so are modules that only they import. Neutral roots are included.
    """
    digests: dict[str, str] = {}
    queue = list(roots)
    while queue:
        module = queue.pop()
        if module not in digests:
            digests[module], imports = _digest_and_imports(module)
            queue += [name for name in imports if not is_neutral(name)]
    return dict(sorted(digests.items()))


@functools.cache
def _digest_and_imports(module: str) -> tuple[str, list[str]]:
    """Return the digest of a module and the project's modules that it imports."""
    tree = _tree(module)
    return sha256(ast.dump(tree))[:16], sorted(_imports(tree))


@functools.cache
def _tree(module: str) -> ast.Module:
    """Parse a module and drop what does not affect results: comments, docstrings and search spaces."""
    tree = _WithoutSpaces().visit(ast.parse(_file(module).read_text()))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [n for n in node.body if not _is_text(n)] or [ast.Pass()]
    return tree


class _WithoutSpaces(ast.NodeTransformer):
    """Replace `tunable(x, gt=0, low=1, ...)` by `Field(x, gt=0)`, or by `x` if no bounds remain.

    Also removes the imports of both names, so that making a field searchable does not change the digest.
    """

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Name) or node.func.id != "tunable":
            return node
        bounds = [keyword for keyword in node.keywords if keyword.arg not in SEARCH_ARGUMENTS]
        if not bounds and len(node.args) == 1:
            return node.args[0]
        return ast.Call(ast.Name("Field", ast.Load()), node.args, bounds)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        if node.module == "pydantic":
            node.names = [alias for alias in node.names if alias.name != "Field"]
        return node if node.names and node.module != "models.search_space" else None


def _imports(tree: ast.Module) -> set[str]:
    """Return the project's modules that a module imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in PACKAGES and _file(name).exists()}


def _file(module: str) -> Path:
    path = CODE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
