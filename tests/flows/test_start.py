"""How a run ends: its record and page, and the time in which nothing was computed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import pytest

from components.common.errors import InputError, RunError
from components.records.run import Overhead, RunManifest, StageEntry
from components.store import Store
from components.store.errors import Unreachable
from flows import record, setup, start
from flows.run import RUNS
from flows.start import overhead
from tests.flows.test_setup import QUICKSTART


def test_overhead_is_the_time_in_which_nothing_computes() -> None:
    def stage(offset: float, seconds: float, work: float, state: str = "ran") -> StageEntry:
        return StageEntry(name="train", offset=offset, seconds=seconds, work_seconds=work, state=state)

    # Starting takes 10 s, then two trainings side by side (one needs 5 s to start), then 5 s of nothing.
    stages = [stage(10, 50, 45), stage(10, 20, 20), stage(0, 0, 0, "cached")]
    result = overhead(RunManifest(run_id="r", seconds=65.0, stages=stages))
    assert result == Overhead(seconds=15.0, share=round(15 / 65, 4))


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a function that runs an experiment which fails with an error; it returns the store."""

    def run(error: BaseException, kind: type[BaseException], match: str, changes: Sequence[str] = ()) -> Path:
        monkeypatch.setattr(start, "run_flow", Mock(side_effect=error))
        monkeypatch.setattr(start, "start_server", Mock())
        experiment = setup.experiment(QUICKSTART, [f"store.url={tmp_path}/store", *changes])
        with pytest.raises(kind, match=match or None):
            start.start(experiment)
        return tmp_path / "store"

    return run


def test_a_run_that_is_refused_says_why_in_its_record_and_on_its_page(fails: Any) -> None:
    store = fails(InputError("captions need <the extra text>: /home/me/x"), InputError, "the extra text")
    manifest = json.loads(next(store.glob("runs/*/run.json")).read_text())
    assert (manifest["status"], manifest["error"]) == ("failed", "captions need <the extra text>: x")
    page = (store / manifest["report"]).read_text()
    assert "captions need &lt;the extra text&gt;: x" in page


def test_an_interrupted_run_is_recorded_as_such_whatever_libraries_make_of_it(
    fails: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.errors.interrupted", Mock(is_set=lambda: True))
    store = fails(TypeError("a validator could not be built"), KeyboardInterrupt, "")
    manifest = json.loads(next(store.glob("runs/*/run.json")).read_text())
    assert (manifest["status"], manifest["error"]) == ("interrupted", None)


def test_a_run_ends_for_its_own_reason_if_the_record_cannot_be_written(
    fails: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record.Record, "finish", Mock(side_effect=Unreachable("does not answer")))
    fails(RunError("the disk is full"), RunError, "the disk is full")
    fails(KeyboardInterrupt(), KeyboardInterrupt, "")


def test_metrics_are_exported_at_the_end_and_a_missing_package_is_said_at_the_beginning(
    fails: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    export = Mock(side_effect=OSError("full"))
    monkeypatch.setattr(start, "export_metrics", export)
    monkeypatch.setattr(start, "need", Mock())
    monkeypatch.setattr(start, "home", lambda: tmp_path)
    fails(RunError("no"), RunError, "no", ["export_metrics.wandb=runs"])
    (_, manifest, tool, folder), _ = export.call_args
    assert (manifest.status, tool, folder) == ("failed", "wandb", tmp_path / "runs")
    monkeypatch.setattr(start, "need", Mock(side_effect=InputError("install it")))
    fails(RunError("no"), InputError, "install it", ["export_metrics.wandb=runs"])


def test_a_prefect_server_that_ended_is_one_sentence(fails: Any) -> None:
    fails(httpx.ConnectError("All connection attempts failed"), RunError, "Prefect's server does not answer")


@pytest.mark.parametrize("where", ["PREFECT_API_URL", "device"])
def test_a_machine_that_cannot_do_a_run_leaves_no_record_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(start.resources, "gpus", lambda: 0)
    refused = Mock(side_effect=InputError("PREFECT_API_URL=x: no Prefect server"))
    monkeypatch.setattr(start, "start_server", refused)
    changes = [f"store.url={tmp_path}/store", *(["device=cuda"] if where == "device" else [])]
    with pytest.raises(InputError, match=where):
        start.start(setup.experiment(QUICKSTART, changes))
    assert not list(tmp_path.glob("store/runs/*"))


def test_a_run_names_its_page_at_its_start_and_an_interruption_ends_what_it_shows(
    fails: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(experiment: object, run_id: str, **_: object) -> str:
        RUNS[run_id].show()
        raise KeyboardInterrupt

    store = fails(interrupted, KeyboardInterrupt, "")
    manifest = json.loads(next(store.glob("runs/*/run.json")).read_text())
    assert f"page: {store / manifest['report']}, from the first samples on" in capsys.readouterr().err
    page = (store / manifest["report"]).read_text()
    assert "The run was interrupted" in page and "Still running" not in page


@pytest.mark.parametrize(
    ("named", "finished", "starts"), [(True, False, 0), (False, True, 0), (False, False, 1)]
)
def test_a_cluster_starts_beside_the_server_if_a_stage_needs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, digits: Path, named: bool, finished: bool, starts: int
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if named:
        monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:10001")
    experiment = setup.experiment(QUICKSTART, ["data.name=digits"])
    monkeypatch.setattr(start.ray_cluster, "connect", connect := Mock())
    monkeypatch.setattr("components.stages.cache.claimed", lambda store, spec: finished)
    start.start_cluster(experiment, Store(str(tmp_path)), [])
    assert connect.call_count == starts
