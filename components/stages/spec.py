"""The key of a stage: a hash of everything that its result depends on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.metadata import version
from typing import Any

from components.common.hashing import key_of

VERSION = 10  # digits of a version of data that are shown
SCHEMA = 2  # raised when all keys change; 2: whole modules are digested


@dataclass(frozen=True)
class Spec:
    """Everything that a stage's result depends on."""

    stage: str
    settings: Mapping[str, Any]  # resolved values, never `auto`
    code: Mapping[str, str]
    upstream: Mapping[str, str] = field(default_factory=dict)  # stage or stage/family -> key
    family: str | None = None
    data: str | None = None  # hash of the data set
    device: str = "cpu"
    pinned: str | None = None  # the key of a result to use regardless of the current settings and code

    def canonical(self) -> Mapping[str, Any]:
        """Return the content of the hash; it is stored with the result to explain changes."""
        return {
            "schema": SCHEMA,
            "stage": self.stage,
            "family": self.family,
            "settings": dict(self.settings),
            "code": dict(self.code),
            "upstream": dict(self.upstream),
            "data": self.data,
            "device": self.device,
            "torch": _installed("torch"),
        }

    @cached_property
    def key(self) -> str:
        """The key, 16 hexadecimal digits."""
        return self.pinned or key_of(self.canonical())

    @property
    def uri(self) -> str:
        """The stage's folder in the store."""
        return f"store/{self.stage}/{self.key}"

    @property
    def name(self) -> str:
        """The name of its result within a run: the stage, or stage/family."""
        return f"{self.stage}/{self.family}" if self.family else self.stage

    @property
    def title(self) -> str:
        """The name in messages: the stage, and its family if it has one."""
        return f"{self.stage} {self.family}" if self.family else self.stage


@cache
def _installed(package: str) -> str:
    """Return the version of a package; to read it takes milliseconds, and a run has hundreds of specs."""
    return version(package)


def difference(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the differences between two specs, one line each; results that they build on are named alone."""
    lines: list[str] = []
    for name in sorted(old.keys() | new.keys()):
        a, b = old.get(name), new.get(name)
        if name == "upstream" and isinstance(a, Mapping) and isinstance(b, Mapping):
            changed = {each for each in a.keys() & b.keys() if a[each] != b[each]}
            kinds = {"upstream": changed, "now with": b.keys() - a.keys(), "now without": a.keys() - b.keys()}
            lines += [f"{prefix}{kind}: {', '.join(sorted(names))}" for kind, names in kinds.items() if names]
        elif isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += difference(a, b, f"{prefix}{name}.")
        elif a != b and name == "data" and isinstance(a, str) and isinstance(b, str) and not prefix:
            lines.append(f"data: version {a[:VERSION]} -> {b[:VERSION]}")
        elif a != b:
            lines.append(f"{prefix}{name}: {_short(a)} -> {_short(b)}")
    return lines


def _short(value: Any) -> str:
    text = "absent" if value is None else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
