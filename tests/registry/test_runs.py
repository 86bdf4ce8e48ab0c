"""Finding runs in a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.common.errors import InputError
from components.records.run import RunManifest
from components.registry import runs
from components.store import Store
from tests.registry.exports import record


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    for run_id, kind in (("1", "run"), ("2", "sweep"), ("3", "run")):
        record(store, run_id, kind=kind)
    return store


def test_a_run_is_found_by_its_id_or_as_the_latest_of_a_kind(store: Store) -> None:
    assert runs.find_run(store, "1").run_id == "1"
    assert runs.find_run(store, "latest").run_id == "3"
    assert runs.find_run(store, "latest", kind="sweep").run_id == "2"
    store.write_bytes("runs/4/run.json", b"{")
    assert runs.read_record(store, "4", RunManifest) is None
    store.write_text("runs/notes/todo.txt", "")
    store.write_text("runs/zzz.txt", "")
    assert runs.find_run(store, "latest").run_id == "3"
    for missing in ("4", "notes", "zzz.txt", "5", "../1"):
        with pytest.raises(InputError, match="there is no run"):
            runs.find_run(store, missing)


def test_the_nearest_run_is_named(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    record(store, "20260101-101500-ab12")
    with pytest.raises(
        InputError, match=r"no run '20260101-101500-ab21' .*did you mean '.*-ab12'\?\); `atelier"
    ):
        runs.find_run(store, "20260101-101500-ab21")


def test_the_newest_run_with_a_family_is_not_always_the_newest(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    for run_id, families in (("1", ["vae"]), ("2", ["vae", "dcgan"]), ("3", ["dcgan"]), ("4", [])):
        record(store, run_id, models={family: f"k{run_id}" for family in families})
    assert runs.newest_with(store, "vae").run_id == "2"
    assert runs.newest_with(store, "dcgan").run_id == "3"
    with pytest.raises(InputError, match=r"'vea' \(did you mean 'vae'\?\); known: dcgan, vae$"):
        runs.newest_with(store, "vea")
