"""Versions of data sets on this machine."""

from __future__ import annotations

from pathlib import Path

from components.data.sources.catalogue import KNOWN
from components.data.sources.prepare import prepare
from components.data.versioning import dvc, pins


def data_version(home: Path, name: str, revision: str | None) -> tuple[Path, str]:
    """Return an immutable copy of a data set and its version; prepare and track a known set if necessary."""
    if revision is None and name in KNOWN and find_prepared(home, name) is None:
        prepare(name, home)
        dvc.track(home, name)
    return dvc.snapshot(home, name, revision)


def find_prepared(home: Path, name: str, revision: str | None = None) -> tuple[Path, str] | None:
    """Return folder and version if they are on this machine, without writing anything; else None."""
    if revision is None and pins.pinned(home, name) is None:
        return None
    version = dvc.resolve(home, name, revision)
    snapshot, prepared = snapshot_folder(home, version), pins.data_folder(home, name)
    if snapshot.exists():
        return snapshot, version
    return (prepared, version) if revision is None and (prepared / "card.json").exists() else None


def snapshot_folder(home: Path, version: str) -> Path:
    """Return the path of the immutable copy of a version."""
    return home / ".atelier" / "data" / version.removesuffix(".dir")
