"""Digests of the code that a stage can reach."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable
from pathlib import Path

from components.common.hashing import sha256
from models.search_space import SEARCH_ARGUMENTS

CODE = Path(__file__).parents[2]

PACKAGES = ("components", "models", "flows")

# Packages and modules that decide where things lie, when they run and how they are shown, but not what the
# result is. A change in them redoes nothing; neither does one in the registry of families, since a family's
# own file counts.
NEUTRAL = (
    "components.cluster",
    "components.common.atomic",
    "components.common.errors",
    "components.common.folders",
    "components.common.hashing",
    "components.common.locks",
    "components.common.paths",
    "components.common.process",
    "components.common.validation",
    "components.config",
    "components.data.versioning",
    "components.evaluation.requests",
    "components.records",
    "components.registry",
    "components.sampling.read_image",
    "components.stages",
    "components.store",
    "components.training.request",
    "models.registry",
    "models.search_space",
)


def is_neutral(module: str) -> bool:
    """Whether a module is one of NEUTRAL or lies in one, or is a package without code."""
    return any(module == name or module.startswith(f"{name}.") for name in NEUTRAL)


def code(*roots: str) -> dict[str, str]:
    """Digest of everything that `roots` can reach in the project, neutral modules left out.

    Args:
        roots: modules ("models.vae"), or functions ("components.pipeline.work:evaluate"), which reach the
            names of their module that they use and the modules they import, not the whole of their module.
    """
    reached: dict[str, str] = {}
    waiting = list(roots)
    while waiting:
        root = waiting.pop()
        module, _, function = root.partition(":")
        if root in reached or (is_neutral(module) and not function):
            continue
        reached[root], imported = _examined(module, function)
        waiting += imported
    return dict(sorted(reached.items()))


@functools.cache
def _examined(module: str, function: str) -> tuple[str, list[str]]:
    """The digest of a module, or of one function of it, and the project's modules it imports."""
    nodes = _used(_tree(module), function) if function else list(_tree(module).body)
    return sha256("\n".join(ast.dump(node) for node in nodes))[:16], sorted(_imports(nodes))


@functools.cache
def _tree(module: str) -> ast.Module:
    """A module without comments, docstrings and search spaces: what it does, not how it is explained."""
    tree = _WithoutSpaces().visit(ast.parse(_file(module).read_text()))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [n for n in node.body if not _is_text(n)] or [ast.Pass()]
    return tree


class _WithoutSpaces(ast.NodeTransformer):
    """Reads `tunable(x, gt=0, low=1, ...)` as `Field(x, gt=0)`, and as `x` alone where no bounds are left.

    What describes the search is left out, and so are the imports of both names: a field that becomes
    searchable, or is no longer, leaves the digest as it was.
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


def _used(tree: ast.Module, function: str) -> list[ast.stmt]:
    """The statements of a module that one of its functions needs: its own, those it names, and so on."""
    binding = {name: node for node in tree.body for name in _bound(node)}
    used: dict[str, ast.stmt] = {}
    waiting = [function]
    while waiting:
        name = waiting.pop()
        if name in binding and name not in used:
            used[name] = binding[name]
            waiting += [n.id for n in ast.walk(binding[name]) if isinstance(n, ast.Name)]
    if function not in used:
        raise KeyError(f"no {function} in that module")
    return [used[name] for name in sorted(used)]


def _bound(node: ast.stmt) -> list[str]:
    """The names a statement at the head of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _imports(nodes: Iterable[ast.AST]) -> set[str]:
    """The project's modules that `nodes` import anywhere in them."""
    found: set[str] = set()
    for node in (inner for outer in nodes for inner in ast.walk(outer)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] in PACKAGES and _file(name).exists()}


def _file(module: str) -> Path:
    path = CODE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
