"""Data sets at hand on this machine."""

from __future__ import annotations

from pathlib import Path


def data_version(home: Path, name: str, revision: str | None) -> tuple[Path, str]:
    """An immutable copy of a data set, prepared and versioned first if need be, and its version."""
    from components.data.sources import catalogue
    from components.data.sources.prepare import prepare
    from components.data.versioning import dvc

    if revision is None and name in catalogue.KNOWN and peek(home, name) is None:
        prepare(name, home)
        dvc.track(home, name)
    return dvc.snapshot(home, name, revision)


def peek(home: Path, name: str, revision: str | None = None) -> tuple[Path, str] | None:
    """The same where it is at hand without preparing, fetching or writing anything; else None."""
    from components.data.versioning import dvc, pins

    if revision is None and pins.pinned(home, name) is None:
        return None
    version = dvc.resolve(home, name, revision)
    snapshot = home / ".atelier" / "data" / version.removesuffix(".dir")
    prepared = pins.data_folder(home, name)
    if snapshot.exists():
        return snapshot, version
    return (prepared, version) if revision is None and (prepared / "card.json").exists() else None
