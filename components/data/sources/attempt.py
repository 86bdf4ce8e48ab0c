"""Make something of an image file, or say why it is unusable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from components.common.hashing import sha256
from components.data.sources.images import FILE_BYTES, BadImage

T = TypeVar("T")
Result = tuple[str, str, T | str]
"""A path, the sha256 of the file, and what was made of it; or the reason why it is unusable, and no hash."""


def attempt(root: Path, path: str, do: Callable[[bytes], T]) -> Result[T]:
    """Return (path, digest, do(content)); if the file is unusable, the reason replaces the result."""
    return of_content(path, content(root, path), do)


def of_content(path: str, data: bytes | str, do: Callable[[bytes], T]) -> Result[T]:
    """Return (path, digest, do(data)) of what `content` returned."""
    if isinstance(data, str):
        return path, "", data
    try:
        return path, sha256(data), do(data)
    except BadImage as error:
        return path, "", str(error)
    except OSError:
        return path, "", "cannot be read"


def content(root: Path, path: str) -> bytes | str:
    """Return the content of an image file, or the reason why it is unusable."""
    try:
        return read(root / path)
    except BadImage as error:
        return str(error)
    except OSError:
        return "cannot be read"


def read(path: Path) -> bytes:
    """Return the content of an image file; raise BadImage if it is too large."""
    if path.stat().st_size > FILE_BYTES:
        raise BadImage(f"larger than {FILE_BYTES // 1_000_000} MB")
    return path.read_bytes()
