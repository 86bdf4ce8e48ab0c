"""Data sets at hand on this machine."""

from __future__ import annotations

from pathlib import Path

from components.data.sources.catalogue import KNOWN
from components.data.sources.prepare import prepare
from components.data.versioning import dvc, pins


def data_version(home: Path, name: str, revision: str | None) -> tuple[Path, str]:
    """An immutable copy of a data set, prepared and versioned first if need be, and its version."""
    if revision is None and name in KNOWN and find_prepared(home, name) is None:
        prepare(name, home)
        dvc.track(home, name)
    return dvc.snapshot(home, name, revision)


def find_prepared(home: Path, name: str, revision: str | None = None) -> tuple[Path, str] | None:
    """The same where it is at hand without preparing, fetching or writing anything; else None."""
    if revision is None and pins.pinned(home, name) is None:
        return None
    version = dvc.resolve(home, name, revision)
    snapshot, prepared = snapshot_folder(home, version), pins.data_folder(home, name)
    if snapshot.exists():
        return snapshot, version
    return (prepared, version) if revision is None and (prepared / "card.json").exists() else None


def snapshot_folder(home: Path, version: str) -> Path:
    """Where the immutable copy of a version of a data set lies, if it was made."""
    return home / ".atelier" / "data" / version.removesuffix(".dir")
