"""Data sets at hand on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.common.errors import InputError
from components.data.local import check_exists, data_version, find_prepared, verified_snapshot
from components.data.versioning.pins import snapshot_folder


def test_what_is_at_hand_is_found_and_nothing_is_prepared_for_it(tmp_path: Path) -> None:
    assert find_prepared(tmp_path, "digits") is None and not list(tmp_path.iterdir())
    folder, version = data_version(tmp_path, "digits", None)
    assert folder == snapshot_folder(tmp_path, version) and (folder / "card.json").exists()
    assert (
        find_prepared(tmp_path, "digits") == find_prepared(tmp_path, "digits", version) == (folder, version)
    )
    assert data_version(tmp_path, "digits", version[:10]) == (folder, version)


def test_a_snapshot_without_a_readable_card_is_made_again(tmp_path: Path) -> None:
    folder, version = data_version(tmp_path, "digits", None)
    contents = (folder / "card.json").read_bytes()
    (folder / "card.json").chmod(0o644)
    (folder / "card.json").write_bytes(b"")
    assert find_prepared(tmp_path, "digits") == (tmp_path / "data/digits", version)
    assert data_version(tmp_path, "digits", None) == (folder, version)
    assert (folder / "card.json").read_bytes() == contents


def test_without_another_copy_a_damaged_snapshot_is_one_sentence(tmp_path: Path) -> None:
    folder, version = data_version(tmp_path, "digits", None)
    assert verified_snapshot(tmp_path, "digits", version) == folder
    for copy in (folder, tmp_path / "data/digits"):
        (copy / "test/labels.npy").chmod(0o644)
        (copy / "test/labels.npy").write_bytes(b"")
    with pytest.raises(InputError, match="is not on this machine and there is no DVC remote"):
        verified_snapshot(tmp_path, "digits", version)


def test_a_misspelt_name_suggests_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "data" / "products").mkdir(parents=True)
    check_exists(tmp_path, "products")
    check_exists(tmp_path, "digits")
    (tmp_path / "data" / "products.dvc").touch()
    for name, near in (("prodcts", "products"), ("digitz", "digits")):
        with pytest.raises(InputError, match=f"there is no data set '{name}' .did you mean '{near}'"):
            check_exists(tmp_path, name)
    with pytest.raises(InputError, match="there is no data set 'prodcts'"):
        data_version(tmp_path, "prodcts", None)
