"""Hashes of bytes, files and JSON values."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def sha256(data: bytes | str) -> str:
    """Return the hash of bytes, or of a text in UTF-8, in hex."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def digest(path: Path, algorithm: str) -> str:
    """Return the hash of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def canonical(value: Any) -> str:
    """Return canonical JSON: sorted keys, no spaces, finite numbers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def key_of(value: Any) -> str:
    """Return a stage's key: the first 16 digits of the hash of canonical JSON."""
    return sha256(canonical(value))[:16]


def json_sha256(value: Any) -> str:
    """Return the hash of JSON with sorted keys and spaces after separators.

    It identifies extractors, data cards and evaluation recipes. It does not use `canonical`, because then
    new values could not be compared with stored ones.
    """
    return sha256(json.dumps(value, sort_keys=True))
