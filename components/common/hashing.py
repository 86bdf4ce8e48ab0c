"""Hashes of JSON values and of files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def digest(path: Path, algorithm: str) -> str:
    """The hash of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def canonical(value: Any) -> str:
    """JSON with one spelling."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256(data: bytes | str) -> str:
    """Hex digest."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()
