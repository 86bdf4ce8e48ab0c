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


def with_models(store: Store, run_id: str, *families: str, **more: Any) -> None:
    """Record a run that has exported models."""
    stages = [
        StageEntry(name="export", state="ran", family=family, uri=f"store/export/{family}", attempt=1)
        for family in families
    ]
    store.write_json(f"runs/{run_id}/run.json", record(run_id, stages=stages, **more).to_json())
    for family in families:
        store.write_json(f"store/export/{family}/attempts/1/model/config.json", {})


def test_latest_is_the_newest_run_with_a_model_of_the_family(store: Store) -> None:
    with_models(store, "1", "vae")
    with_models(store, "2", "dcgan")
    for family, run_id in (("vae", "1"), ("dcgan", "2"), (None, "2")):
        result = shared.model_folder("latest", family, store.url)[1]
        assert result is not None and result.run_id == run_id


@pytest.mark.parametrize(
    ("run", "family", "words"),
    [
        ("2", None, "run 2 has several models: name a family after it; it has: vae, dcgan"),
        ("2", "vea", r"no model of family 'vea' \(did you mean 'vae'\?\); it has: vae, dcgan"),
        ("1", "vae", "run 1 has no model yet: it exports one of each family at its end"),
        ("3", None, "run 3 ended interrupted, without a model: continue it with `atelier run x.yaml`; `atel"),
        (
            "latest",
            "gan",
            r"no run in the store has a model of family 'gan' \(did you mean .*; known: vae, dcg",
        ),
    ],
)
def test_a_model_that_is_not_there_ends_with_what_to_do(
    store: Store, run: str, family: str | None, words: str
) -> None:
    with_models(store, "2", "vae", "dcgan")
    with_models(store, "3", status="interrupted", command="atelier run x.yaml")
    with pytest.raises(InputError, match=words):
        shared.model_folder(run, family, store.url)


def test_a_store_without_runs_or_models_says_how_to_get_one(store: Store, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="has a model yet: a run exports one of each family at its end; `atel"
    ):
        shared.model_folder("latest", None, store.url)
    with pytest.raises(
        InputError, match="there is no run 'r1': .*/none has no run yet; `atelier run` begins the"
    ):
        shared.model_folder("r1", "vae", str(tmp_path / "none"))


def test_tables_are_columns_and_lists_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "a", "value": None}, {"name": "long name", "value": 2}]
    shared.print_rows(rows)
    assert capsys.readouterr().out == "name       value\na          -\nlong name  2\n"
    shared.print_rows([], as_json=True)
    shared.print_rows([])
    assert capsys.readouterr().out == "[]\n"
