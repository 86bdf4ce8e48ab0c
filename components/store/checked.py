"""Copies of finished results, compared with the hashes that were stored with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.common import atomic
from components.common.errors import RunError
from components.common.hashing import digest
from components.store.errors import MISSING_OR_TORN

if TYPE_CHECKING:
    from components.store.store import Store

ATTEMPT = re.compile(r"(store/[^/]+/[^/]+/attempts/\d+)/(.+)")
TIMES = 2  # to copy files whose first copy has other contents


def copy(store: Store, rel: str, local: Path, fetch: Callable[[str, Path], None]) -> None:
    """Copy `rel` to `local` by `fetch`; compare the files of a finished stage with the hashes in its result.

    Raises:
        RunError: a copy has other contents, repeatedly.
    """
    expected = hashes(store, rel)
    for _ in range(TIMES):
        fetch(rel, local)
        wrong = [name for name, sha256 in expected.items() if _differs(local / name, sha256)]
        if not wrong:
            return
        atomic.remove(local)
    raise RunError(
        f"{store.url}/{rel}: {wrong[0] or 'the file'} has other contents than when it was stored; `--force` "
        "with the name of its stage makes it again"
    )


def hashes(store: Store, rel: str) -> Mapping[str, str]:
    """Return the sha256 of each file below `rel`, by its path there; nothing of what is not finished."""
    match = ATTEMPT.fullmatch(rel)
    if match is None:
        return {}
    attempt, below = match.groups()
    try:
        files: list[Mapping[str, Any]] = store.read_json(f"{attempt}/result.json")["files"]
        listed = {str(entry["path"]): str(entry["sha256"]) for entry in files}
    except (*MISSING_OR_TORN, KeyError, TypeError):
        return {}
    if below in listed:
        return {"": listed[below]}
    start = f"{below}/"
    return {path.removeprefix(start): sha256 for path, sha256 in listed.items() if path.startswith(start)}


def _differs(file: Path, sha256: str) -> bool:
    return not file.is_file() or digest(file, "sha256") != sha256
