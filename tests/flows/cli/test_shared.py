"""What commands share: finding runs and models in a store, and tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components.common.errors import InputError
from components.records.run import LOST, RunManifest, StageEntry
from components.store import Store
from flows.cli import shared


def record(run_id: str, kind: str = "run", **more: Any) -> RunManifest:
    return RunManifest(run_id=run_id, kind=kind, **more)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    for run_id, kind in (("1", "run"), ("2", "sweep"), ("3", "run")):
        store.write_json(f"runs/{run_id}/run.json", record(run_id, kind).to_json())
    return store


def test_a_run_that_stopped_writing_is_lost() -> None:
    now = datetime.now(UTC)
    old, older = (now - 2 * LOST).isoformat(), (now - timedelta(days=9)).isoformat()
    for status, heartbeat, expected in (
        ("running", now.isoformat(), "running"),
        ("running", old, "lost"),
        ("done", older, "done"),
        ("running", "noon", "lost"),
        ("running", "2026-01-01T00:00:00", "lost"),
    ):
        assert record("1", status=status, heartbeat=heartbeat).standing == expected


def test_models_are_the_exports_that_finished() -> None:
    def stage(name: str, state: str, family: str | None = None) -> StageEntry:
        return StageEntry(name=name, state=state, family=family, uri=f"store/{name}/k", attempt=2)

    stages = [stage("prepare", "cached"), stage("export", "ran", "vae"), stage("export", "failed", "dcgan")]
    manifest = record("1", stages=stages)
    assert stages[0].folder == "store/prepare/k/attempts/2"
    assert set(manifest.models) == {"vae"} and "store/export/k/attempts/2" in manifest.models["vae"]


def test_a_model_is_a_folder_or_that_of_a_run(store: Store, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").touch()
    assert shared.model_folder(str(tmp_path / "model"), None, "nowhere") == (tmp_path / "model", None)
    with pytest.raises(InputError, match="no model of family 'vae'; it has: none"):
        shared.model_folder("1", "vae", str(tmp_path / "store"))


def test_tables_are_columns_and_lists_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "a", "value": None}, {"name": "long name", "value": 2}]
    shared.print_rows(rows)
    assert capsys.readouterr().out == "name       value\na          -\nlong name  2\n"
    shared.print_rows([], as_json=True)
    shared.print_rows([])
    assert capsys.readouterr().out == "[]\n"
