"""The list of runs: which fit, their best results and their costs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from components.records.evaluation import MetricResult
from components.records.run import (
    DataLineage,
    FamilyResult,
    Lineage,
    ResultHead,
    RunManifest,
    RunSummary,
    StageEntry,
)
from components.store import Store
from flows import run_list


def write(store: Store, run_id: str, **content: Any) -> None:
    config = {
        "train": {"workers": 2},
        "families": {"vae": {}, "dcgan": {"train": {"workers": 0}}},
        "price": {"worker_hour": 2.5, "currency": "EUR"},
    }
    lineage = Lineage(data=DataLineage(name="digits", version=f"{run_id}" * 8), config=config)
    stages = [
        StageEntry(name="train", family="vae", state="ran", seconds=1800.0),
        StageEntry(name="train", family="dcgan", state="ran", seconds=1800.0),
        StageEntry(name="evaluate", family="vae", state="cached", seconds=0.0),
    ]
    manifest = RunManifest(
        **{"run_id": run_id, "status": "done", "lineage": lineage, "stages": stages} | content
    )
    store.write_json(f"runs/{run_id}/run.json", manifest.to_json())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path))
    results = [
        FamilyResult(
            family=family, metrics={"frechet_distance": MetricResult(value=value, n=9, split="test")}
        )
        for family, value in (("vae", 3.5), ("dcgan", 1.25))
    ]
    write(store, "1", results=results)
    write(store, "2", kind="sweep", status="failed")
    write(store, "3", status="running", heartbeat="2026-01-01T00:00:00+00:00")
    write(store, "4", status="running", heartbeat=datetime.now(UTC).isoformat(), lineage=Lineage(), stages=[])
    store.write_text("runs/5/run.json", "{")
    return store


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, "54321"),
        ({"status": "lost"}, "3"),
        ({"status": "running"}, "4"),
        ({"status": "unreadable"}, "5"),
        ({"data": "digits"}, "321"),
        ({"data": "2222"}, "2"),
        ({"family": "vae", "kind": "run"}, "31"),
        ({"kind": "sweep"}, "2"),
        ({"data": "digits", "most": 2}, "32"),
        ({"family": "gan"}, ""),
    ],
)
def test_filters(store: Store, filters: dict[str, Any], expected: str) -> None:
    assert "".join(run.run_id for run in run_list.matching(store, **filters)) == expected


def test_a_row_has_the_best_result_and_the_cost(store: Store) -> None:
    (row,) = run_list.rows(store, run_list.matching(store, status="done"))
    cells = dict(zip(run_list.COLUMNS, row, strict=True))
    assert cells["best"] == "dcgan Fréchet distance 1.25" and cells["version"] == "11111111"
    assert (cells["worker-hours"], cells["cost"]) == ("1.50", "3.75 EUR")
    (run,) = run_list.matching(store, status="done")
    content = run_list.as_json(store, run)
    assert (content["worker_hours"], content["standing"], content["run_id"]) == (1.5, "done", "1")
    (bare,) = run_list.matching(store, status="running")
    assert run_list.cost(bare) is None and run_list.best(bare) is None


def test_a_result_that_is_not_near_real_images_is_marked_and_comes_last() -> None:
    def result(family: str, kid: float, recall: float) -> ResultHead:
        metrics = {
            "kid": MetricResult(value=kid, real_baseline=0.0),
            "recall": MetricResult(value=recall, real_baseline=0.8, better="higher"),
        }
        return ResultHead(family=family, task="generate", metrics=metrics)

    noise, images = result("dcgan", 0.1, 0.01), result("vae", 0.2, 0.7)
    assert run_list.best(RunSummary(run_id="r", results=[noise, images])) == "vae KID 0.200"
    assert run_list.best(RunSummary(run_id="r", results=[noise])) == "dcgan KID 0.100 (not near real images)"


def test_results_are_ranked_by_one_metric_and_its_note_is_told() -> None:
    def result(family: str, kid: float, note: str | None, noted: str | None = None) -> ResultHead:
        metrics = {
            "frechet_distance": MetricResult(value=9.0, note=note),
            "kid": MetricResult(value=kid, note=noted),
        }
        return ResultHead(family=family, task="generate", metrics=metrics)

    few = [result("vae", 0.2, "mostly bias"), result("dcgan", 9.5, None)]
    assert run_list.best(RunSummary(run_id="r", results=few)) == "vae KID 0.200"
    untold = [result("vae", 0.2, "meaningless", "meaningless")]
    assert run_list.best(RunSummary(run_id="r", results=untold)) == "vae KID 0.200 (meaningless)"
