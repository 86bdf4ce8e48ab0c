"""Data sets at hand on this machine."""

from __future__ import annotations

from pathlib import Path

from components.data.local import data_version, find_prepared, snapshot_folder


def test_what_is_at_hand_is_found_and_nothing_is_prepared_for_it(tmp_path: Path) -> None:
    assert find_prepared(tmp_path, "digits") is None and not list(tmp_path.iterdir())
    folder, version = data_version(tmp_path, "digits", None)
    assert folder == snapshot_folder(tmp_path, version) and (folder / "card.json").exists()
    assert (
        find_prepared(tmp_path, "digits") == find_prepared(tmp_path, "digits", version) == (folder, version)
    )
    assert data_version(tmp_path, "digits", version[:10]) == (folder, version)
