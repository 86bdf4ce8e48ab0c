"""The list of families, kept in a file: to make it imports PyTorch and builds every network."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from components.common.atomic import replacing
from components.common.hashing import key_of, sha256
from components.common.paths import CHECKOUT, working


def listed_families() -> list[Mapping[str, Any]]:
    """Return `catalogue.describe_families()`, from the file while the code is the same.

    Where the families are imported already, only they tell, since a program may have added some.
    """
    if "models.registry" in sys.modules:
        return _described()
    file, key = working() / "families.json", code_key(CHECKOUT)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        stored = json.loads(file.read_bytes())
        if stored["key"] == key:
            return list(stored["families"])
    families = _described()
    with contextlib.suppress(OSError), replacing(file) as temporary:  # a project may be read-only
        temporary.write_text(json.dumps({"key": key, "families": families}))
    return families


def _described() -> list[Mapping[str, Any]]:
    from components.families.catalogue import describe_families  # imports PyTorch

    return describe_families()


def code_key(root: Path) -> str:
    """Return a hash of what the list depends on: PyTorch, and the code of families and their settings."""
    folders = (root / "models", root / "components" / "families", root / "components" / "config")
    files = sorted(file for folder in folders for file in folder.rglob("*.py"))
    return key_of([version("torch"), *([str(f.relative_to(root)), sha256(f.read_bytes())] for f in files)])
