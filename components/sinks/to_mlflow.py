"""MLflow: a run of each family in FOLDER/mlflow.db, in the experiment of its data set; pictures beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.sinks.history import History, image
from components.store import Store

MOST_METRICS, MOST_SETTINGS = 1000, 100  # that MLflow takes at once
LONGEST = 6000  # characters of a setting
CONTENT = "atelier.sha256"  # tag of a run that is complete: the hash of what it was made from
ENDS = {"failed": "FAILED", "interrupted": "KILLED", "lost": "KILLED"}


def write(store: Store, history: History, folder: Path) -> Path:
    """Write a family of a run unless it is there with the same content; return the database.

    If the content differs, as that of a run which went on, a new run takes the place of the old one, which
    MLflow lists among its deleted runs.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read on import: nothing leaves this machine
    from mlflow import MlflowClient

    database = folder.resolve() / "mlflow.db"
    client = MlflowClient(f"sqlite:///{database}")
    data = _name(history.data) or "atelier"
    experiment = client.get_experiment_by_name(data)
    place = (folder.resolve() / "artifacts" / data).as_uri()
    number = experiment.experiment_id if experiment else client.create_experiment(data, place)
    title = f"{history.run_id}/{history.name}"
    earlier = client.search_runs([number], f"attributes.run_name = '{title}'")
    if not any(run.data.tags.get(CONTENT) == history.sha256 for run in earlier):
        for run in earlier:
            client.delete_run(run.info.run_id)
        _write_run(client, store, history, client.create_run(number, _ms(history.began), run_name=title))
    return database


def _write_run(client: Any, store: Store, history: History, run: Any) -> None:
    from mlflow.entities import Param, RunTag

    run_id = run.info.run_id
    metrics = list(_metrics(history))
    for i in range(0, len(metrics), MOST_METRICS):
        client.log_batch(run_id, metrics=metrics[i : i + MOST_METRICS])
    settings = [Param(_name(name), value[:LONGEST]) for name, value in history.settings.items()]
    for i in range(0, len(settings), MOST_SETTINGS):
        client.log_batch(run_id, params=settings[i : i + MOST_SETTINGS])
    for sheet in history.sheets:
        if (picture := image(store, sheet)) is not None:
            at = _ms(history.time(sheet.step))
            client.log_image(run_id, picture, key=_name(sheet.title), step=sheet.step, timestamp=at)
    if history.diagnoses:
        client.log_dict(run_id, [event.to_json() for event in history.diagnoses], "diagnoses.json")
    last = max([history.began, *(time for _, time, _ in history.points)])
    client.set_terminated(run_id, ENDS.get(history.status, "FINISHED"), _ms(last))
    if history.status == "running":
        client.update_run(run_id, "RUNNING")
    about = {"run": history.run_id, "family": history.family, "status": history.status, **history.origins}
    tags = {f"atelier.{_name(name)}": text for name, text in about.items()} | {CONTENT: history.sha256}
    client.log_batch(run_id, tags=[RunTag(name, text) for name, text in tags.items()])


def _metrics(history: History) -> Iterator[Any]:
    """Yield the metrics of all rows, and the measures at the step of the weights that were measured."""
    from mlflow.entities import Metric

    for step, time, values in history.points:
        for name, value in values.items():
            yield Metric(_name(name), float(value), _ms(time), step)
    for name, value in history.measures.items():
        yield Metric(f"measures/{_name(name)}", value, _ms(history.time(history.step)), history.step)


def _name(text: str) -> str:
    """Return a name with the characters that MLflow accepts."""
    return re.sub(r"[^\w\-. /]", "_", text, flags=re.ASCII).strip("/ ")[:250]


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
