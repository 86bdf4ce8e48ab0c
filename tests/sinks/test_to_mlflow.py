"""MLflow's client reads what is exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from components.sinks import to_mlflow
from components.sinks.history import History
from components.store import Store

pytest.importorskip("mlflow", reason="the extra `mlflow`")


def test_a_run_is_read_back_and_exporting_it_again_adds_nothing(
    store: Store, treated: History, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    half = replace(treated, rows=treated.rows[:20], measures={}, status="running")
    for history in (half, treated, treated):
        database = to_mlflow.write(store, history, tmp_path)
    client = MlflowClient(f"sqlite:///{database}")
    experiment = client.get_experiment_by_name("mnist5k")
    (run,) = client.search_runs([experiment.experiment_id])
    points = client.get_metric_history(run.info.run_id, "health/D_x_")
    assert sorted(point.step for point in points) == list(range(25, 1001, 25))
    assert run.data.metrics["measures/frechet_distance"] == 14.2
    assert run.data.params["train.steps"] == "1000"
    assert run.data.tags["atelier.data version"] == treated.origins["data version"]
    assert (run.info.status, run.info.start_time) == ("FINISHED", round(1000 * treated.began))
    pictures = [file.path for file in client.list_artifacts(run.info.run_id, "images")]
    assert len(pictures) == 2 * len(treated.sheets), "MLflow keeps a smaller copy of each"
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["diagnoses.json", "images"]
