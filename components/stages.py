"""Stages: work addressed by what it depends on.

A stage's key is a hash of its settings, its data, its upstream stages' keys, the code it can reach, the
torch version and the kind of device. Its folder `store/<stage>/<key>/` is immutable once `_SUCCESS` is
there, so running the same command again does nothing, after an interruption goes on where it stopped, and
after a change redoes what depends on it.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from components.errors import InputError, RunError
from components.lease import lease
from components.storage import Store

SCHEMA = 1
CODE = Path(__file__).parents[1]
PACKAGES = ("components", "models", "flows")

# Modules that decide where things lie, when they run and how they are shown, but not what comes out; and one
# of which no stage makes use. A change in them redoes nothing; neither does one in the registry of families,
# since a family's own file counts.
NEUTRAL = frozenset(
    f"components.{name}"
    for name in (
        "config",
        "errors",
        "launch",
        "lease",
        "local_files",
        "memory",
        "orders",
        "paths",
        "pictures",
        "registry",
        "stages",
        "storage",
        "storage_errors",
        "upload",
        "versioning",
    )
) | {"components", "components.data", "models", "models.search"}

PASSING = ("progress.json", "checkpoints/", "ray/", "parts/")  # what a finished stage can do without


def canonical(value: Any) -> str:
    """JSON with one spelling."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256(data: bytes | str) -> str:
    """Hex digest."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


# Code.


def code(*roots: str) -> dict[str, str]:
    """Digest of everything that `roots` can reach in the project, neutral modules left out.

    Args:
        roots: modules ("models.vae"), or functions ("components.work:evaluate"), which reach the names of
        their
            module that they use and the modules they import, not the whole of their module.
    """
    reached: dict[str, str] = {}
    waiting = list(roots)
    while waiting:
        root = waiting.pop()
        module, _, function = root.partition(":")
        if root in reached or (module in NEUTRAL and not function):
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
    """Leaves X of Annotated[X, Range(...)] and of Annotated[X, Choice(...)], and the imports for it out."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        if ast.unparse(node.value) != "Annotated" or not isinstance(node.slice, ast.Tuple):
            return node
        kept = [part for part in node.slice.elts if not _is_space(part)]
        node.slice.elts = kept
        return node if len(kept) > 1 else kept[0]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        if node.module == "typing":
            node.names = [alias for alias in node.names if alias.name != "Annotated"]
        return node if node.names and node.module != "models.search" else None


def _is_space(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("Range", "Choice")


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


# Keys.


@dataclass(frozen=True)
class Spec:
    """All that a stage's result depends on."""

    stage: str
    settings: Mapping[str, Any]  # resolved values, never `auto`
    code: Mapping[str, str]
    upstream: Mapping[str, str] = field(default_factory=dict)  # stage or stage/family -> key
    family: str | None = None
    data: str | None = None  # hash of the data set
    device: str = "cpu"
    pinned: str | None = None  # the key of a result that is used whatever its settings and code are now

    def canonical(self) -> dict[str, Any]:
        """What is hashed, and stored beside the result so that a change can be explained."""
        return {
            "schema": SCHEMA,
            "stage": self.stage,
            "family": self.family,
            "settings": dict(self.settings),
            "code": dict(self.code),
            "upstream": dict(self.upstream),
            "data": self.data,
            "device": self.device,
            "torch": version("torch"),
        }

    @property
    def key(self) -> str:
        """16 hexadecimal digits."""
        return self.pinned or sha256(canonical(self.canonical()))[:16]

    @property
    def uri(self) -> str:
        """The stage's folder in the store."""
        return f"store/{self.stage}/{self.key}"

    @property
    def title(self) -> str:
        """As people call it: the stage, and its family."""
        return f"{self.stage} {self.family}" if self.family else self.stage


def difference(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What changed between two specs, a line each."""
    lines: list[str] = []
    for name in sorted(old.keys() | new.keys()):
        a, b = old.get(name), new.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += difference(a, b, f"{prefix}{name}.")
        elif a != b:
            lines.append(f"{prefix}{name}: {_short(a)} -> {_short(b)}")
    return lines


def _short(value: Any) -> str:
    text = "absent" if value is None else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


# Results.


@dataclass(frozen=True)
class Done:
    """A stage that has its result: what tasks hand to each other, small and without tensors."""

    stage: str
    family: str | None
    key: str
    uri: str  # of the winning attempt, in the store
    attempt: int
    state: str  # ran | cached
    sha256: str  # of result.json
    bytes: int  # of all files
    started: float
    seconds: float
    work_seconds: float  # of it, spent computing
    run_id: str  # of the run that did the work
    schema_version: int = SCHEMA


def finished(store: Store, spec: Spec) -> Done | None:
    """The stage's result if it is complete and its files are as they were written."""
    folder = store.child(spec.uri)
    try:
        success = folder.read_json("_SUCCESS")
        attempt = folder.child("attempts", str(success["attempt"]))
        data = attempt.read_bytes("result.json")
        result = json.loads(data)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if sha256(data) != success["sha256"] or not _verified(attempt, result["files"]):
        return None
    if not all(store.exists(path) for path in result.get("elsewhere", [])):
        return None
    return Done(
        stage=spec.stage,
        family=spec.family,
        key=spec.key,
        uri=f"{spec.uri}/attempts/{success['attempt']}",
        attempt=success["attempt"],
        state="cached",
        sha256=success["sha256"],
        bytes=sum(entry["bytes"] for entry in result["files"]),
        started=result["started"],
        seconds=result["seconds"],
        work_seconds=result["work_seconds"],
        run_id=result["run_id"],
    )


def claimed(store: Store, spec: Spec) -> bool:
    """Whether the stage says it is done; unlike `finished`, without reading its files to verify it."""
    return store.exists(f"{spec.uri}/_SUCCESS")


def latest(store: Store, spec: Spec) -> dict[str, Any] | None:
    """The spec of the newest result of the same stage and family, to compare with."""
    found: list[tuple[float, dict[str, Any]]] = []
    for key in store.list(f"store/{spec.stage}"):
        folder = store.child("store", spec.stage, key)
        try:
            old = folder.read_json("spec.json")
            if old["family"] == spec.family:
                success = folder.read_json("_SUCCESS")
                found.append((folder.read_json(f"attempts/{success['attempt']}/result.json")["ended"], old))
        except (FileNotFoundError, ValueError, KeyError):
            continue
    return max(found, key=lambda pair: pair[0])[1] if found else None


def run(
    store: Store,
    spec: Spec,
    body: Callable[[Store, int], dict[str, Any]],
    *,
    run_id: str,
    force: bool = False,
    on_wait: Callable[[str], None] = lambda title: None,
) -> Done:
    """The stage's result, made now if it is not there.

    Two runs of the same stage share the work: the second waits for the first's lease and finds the result.

    Args:
        store: the store's root.
        spec: what the stage depends on.
        body: does the work in the attempt's folder; gets the folder and its number, returns the result, in
        which
            `elsewhere` may list files it left outside of its folder.
        run_id: of the calling run.
        force: open a new attempt even if there is a result.
        on_wait: told when another run is at work on this stage.

    Raises:
        InputError: the result is pinned, and it is not there or was to be forced.
    """
    asked = time.time()
    done = finished(store, spec)
    if done and not force:
        return done
    if spec.pinned:
        raise InputError(
            f"the {spec.title} is pinned ({spec.uri}), so it is not made again; if its files were lost or "
            f"changed, restore the store; to replace it deliberately: atelier {spec.stage} renew"
        )
    with lease(store, f"{spec.stage}-{spec.key}", on_wait=lambda: on_wait(spec.title)) as held:
        done = finished(store, spec)
        if done and (not force or done.started > asked):
            return done
        folder = store.child(spec.uri)
        number = _attempt(folder, fresh=force)
        attempt = folder.child("attempts", str(number))
        folder.write_json("spec.json", spec.canonical())
        started = time.time()
        result = body(attempt, number)
        seconds = time.time() - started
        held.check()
        _complete(folder, attempt, number, {"work_seconds": seconds} | result, spec, run_id, started, seconds)
    done = finished(store, spec)
    if done is None:
        raise RunError(
            f"{spec.title} finished, but its files in {spec.uri} cannot be read back; is the store full?"
        )
    return Done(**{**vars(done), "state": "ran"})


def read(store: Store, done: Done) -> dict[str, Any]:
    """A stage's result.json."""
    return store.read_json(f"{done.uri}/result.json")


def _attempt(folder: Store, fresh: bool) -> int:
    """The newest unfinished attempt, to go on with; or a new number."""
    numbers = sorted(int(name) for name in folder.list("attempts") if name.isdigit())
    if not numbers:
        return 1
    unfinished = not folder.exists(f"attempts/{numbers[-1]}/result.json")
    return numbers[-1] if unfinished and not fresh else numbers[-1] + 1


def _complete(
    folder: Store,
    attempt: Store,
    number: int,
    result: dict[str, Any],
    spec: Spec,
    run_id: str,
    started: float,
    seconds: float,
) -> None:
    whole = {
        "schema": SCHEMA,
        "stage": spec.stage,
        "family": spec.family,
        "key": spec.key,
        "attempt": number,
        "run_id": run_id,
        "started": started,
        "ended": time.time(),
        "seconds": seconds,
        **result,
        "files": inventory(attempt),
    }
    attempt.write_json("result.json", whole)
    data = attempt.read_bytes("result.json")
    folder.write_json("_SUCCESS", {"attempt": number, "sha256": sha256(data)})


def inventory(attempt: Store) -> list[dict[str, Any]]:
    """Path, size and hash of every file that belongs to the result."""
    kept = [p for p in attempt.find() if p != "result.json" and not p.startswith(PASSING)]
    contents = ((path, attempt.read_bytes(path)) for path in kept)
    return [{"path": path, "bytes": len(data), "sha256": sha256(data)} for path, data in contents]


def _verified(attempt: Store, files: Iterable[Mapping[str, Any]]) -> bool:
    """Sizes everywhere; contents too where reading is cheap (an object store checks them itself)."""
    try:
        for entry in files:
            if attempt.size(entry["path"]) != entry["bytes"]:
                return False
            if attempt.is_local and sha256(attempt.read_bytes(entry["path"])) != entry["sha256"]:
                return False
    except FileNotFoundError:
        return False
    return True
