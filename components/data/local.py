"""Versions of data sets on this machine."""

from __future__ import annotations

from pathlib import Path

from components.common.errors import InputError, RunError
from components.common.suggestions import did_you_mean
from components.data.card import DatasetCard
from components.data.sources.catalogue import KNOWN
from components.data.sources.prepare import prepare
from components.data.sources.refresh import refresh
from components.data.versioning import dvc, pins


def data_version(home: Path, name: str, revision: str | None, *, refreshed: bool = False) -> tuple[Path, str]:
    """Return an immutable copy of a data set and its version; prepare and track a known set if necessary.

    With `refreshed`, the source of an added set is read again first, unless a revision is asked for.
    """
    if refreshed and revision is None:
        refresh(home, name)
    if revision is None and name in KNOWN and find_prepared(home, name) is None:
        prepare(name, home)
        dvc.track(home, name)
    check_exists(home, name)
    folder, version = dvc.snapshot(home, name, revision)
    return (folder if _has_card(folder) else dvc.made_again(home, name, version)), version


def check_exists(home: Path, name: str) -> None:
    """Raise InputError if a data set is neither known, nor prepared or pinned in the project."""
    if name in KNOWN or pins.pinned(home, name) or pins.data_folder(home, name).exists():
        return
    near = did_you_mean(name, [*KNOWN, *pins.tracked(home)])
    raise InputError(
        f"there is no data set {name!r}{near}; `atelier data list` lists those there are, and "
        "`atelier data add` adds one"
    )


def verified_snapshot(home: Path, name: str, version: str) -> Path:
    """Return the immutable copy of a version after comparing all its files; make a damaged one again.

    Raises:
        InputError: it is damaged, and this machine and the DVC remote have no other copy.
    """
    folder = dvc.materialise(home, name, version)
    return folder if pins.folder_md5(folder) == version else dvc.made_again(home, name, version)


def _has_card(folder: Path) -> bool:
    try:
        return bool(DatasetCard.read(folder))
    except (InputError, RunError):
        return False


def find_prepared(home: Path, name: str, revision: str | None = None) -> tuple[Path, str] | None:
    """Return folder and version if they are on this machine, without writing anything; else None."""
    if revision is None and pins.pinned(home, name) is None:
        return None
    version = dvc.resolve(home, name, revision)
    snapshot, prepared = pins.snapshot_folder(home, version), pins.data_folder(home, name)
    if _has_card(snapshot):
        return snapshot, version
    return (prepared, version) if revision is None and (prepared / "card.json").exists() else None
