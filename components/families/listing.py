"""The list of families, kept in a file: to make it imports PyTorch and builds every network."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from components.common.atomic import replacing
from components.common.hashing import key_of, sha256
from components.common.paths import CHECKOUT, working
from components.families.catalogue import describe_families
from models.registry import FAMILIES


def listed_families() -> list[Mapping[str, Any]]:
    """Return `catalogue.describe_families()`, from the file while the code is the same.

    Families that a program has added are not in the file, since their code may change.
    """
    if not all(module.startswith("models.") for module in FAMILIES.modules()):
        return describe_families()
    file, key = working() / "families.json", code_key(CHECKOUT)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        stored = json.loads(file.read_bytes())
        if stored["key"] == key:
            return list(stored["families"])
    families = describe_families()
    with contextlib.suppress(OSError), replacing(file) as temporary:  # a project may be read-only
        temporary.write_text(json.dumps({"key": key, "families": families}))
    return families


def code_key(root: Path) -> str:
    """Return a hash of what the list depends on: PyTorch, and the code of families and their settings."""
    folders = (root / "models", root / "components" / "families", root / "components" / "config")
    files = sorted(file for folder in folders for file in folder.rglob("*.py"))
    return key_of([version("torch"), *([str(f.relative_to(root)), sha256(f.read_bytes())] for f in files)])
