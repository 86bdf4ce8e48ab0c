"""Hashes of bytes, files and JSON values."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def sha256(data: bytes | str) -> str:
    """The hash of bytes, or of a text in UTF-8, in hex."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def digest(path: Path, algorithm: str) -> str:
    """The hash of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def canonical(value: Any) -> str:
    """JSON with one spelling."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def key_of(value: Any) -> str:
    """The first 16 digits of the hash of canonical JSON: the address of a stage's result."""
    return sha256(canonical(value))[:16]


def json_sha256(value: Any) -> str:
    """The hash of JSON with sorted keys and spaces after separators.

    Extractors, data cards and the recipes of measured values are identified by it. With `canonical` instead,
    values measured earlier could no longer be compared with new ones.
    """
    return sha256(json.dumps(value, sort_keys=True))
