"""Digests of the code that a stage can reach."""

from __future__ import annotations

import ast
import contextlib
import functools
import json
import sys
from pathlib import Path

from components.common.atomic import replacing
from components.common.hashing import sha256
from components.common.paths import working
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
    "components.common.parallel",
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
    _stored().save()
    return dict(sorted(digests.items()))


@functools.cache
def _digest_and_imports(module: str) -> tuple[str, list[str]]:
    """Return the digest of a module and the project's modules that it imports."""
    digest, names = _stored().of(module)
    return digest, [name for name in names if _file(name).exists()]


class _Stored:
    """The digest and the imports of each module, kept in a file: to parse all modules takes a second."""

    def __init__(self, file: Path):
        self.file, self.entries, self.changed = file, dict[str, tuple[str, str, list[str]]](), False
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            content = json.loads(file.read_bytes())
            self.entries = {
                name: (key, digest, list(names)) for name, (key, digest, names) in content.items()
            }

    def of(self, module: str) -> tuple[str, list[str]]:
        """Return the digest of a module and the names that it may import from the project, sorted."""
        source = _file(module).read_bytes()
        key = sha256(sys.version.encode() + _own_source() + source)
        if module not in self.entries or self.entries[module][0] != key:
            tree = _tree(source)
            self.entries[module] = key, sha256(ast.dump(tree))[:16], sorted(_imports(tree))
            self.changed = True
        return self.entries[module][1:]

    def save(self) -> None:
        """Write what is new; a project may be read-only."""
        if self.changed:
            with contextlib.suppress(OSError), replacing(self.file) as temporary:
                temporary.write_text(json.dumps(self.entries))
            self.changed = False


@functools.cache
def _stored() -> _Stored:
    return _Stored(working() / "code.json")


@functools.cache
def _own_source() -> bytes:
    """This file: a change of it may change what it computes."""
    return Path(__file__).read_bytes()


def _tree(source: bytes) -> ast.Module:
    """Parse a module and drop what does not affect results: comments, docstrings and search spaces."""
    tree = _WithoutSpaces().visit(ast.parse(source))
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
    """Return the names in the project's packages that a module imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in PACKAGES}


def _file(module: str) -> Path:
    path = CODE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
