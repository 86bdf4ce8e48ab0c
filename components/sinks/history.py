"""Data of a run for other tools: of each family its points, measures, diagnoses, samples and settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from components.common.hashing import json_sha256
from components.records.health import HealthEvent
from components.records.run import FamilyResult, RunManifest, StageEntry
from components.records.sweep import SweepResult
from components.records.trial import Trial
from components.report import comparison, formatting, health, results
from components.report.reading import Course, Row, read_course
from components.report.sweep_reading import search_result
from components.sampling import sheets
from components.store import Store
from components.store.errors import MISSING_OR_TORN

WAYS = {"step": "samples", "backward": "samples, other direction"}
COLUMNS = ("step", "attempt", "seconds")  # of a row, that are no metrics
VALUES = {"": "value", "_low": "low", "_high": "high", "_of_real_images": "real_baseline"}


@dataclass(frozen=True)
class Sheet:
    """A grid of samples, drawn with the weights of a step; `path` is in the store."""

    title: str
    step: int
    path: str


@dataclass(frozen=True)
class History:
    """A family of a run, or a trial of its sweep.

    Attributes:
        run_id: the run.
        family: its name; that of a trial ends with its number.
        data: the name of the data set.
        status: that of the run or the trial; failed if a stage of the family did.
        began: when its training began, in seconds since 1970.
        settings: those of the run without other families, by dotted name, as JSON.
        origins: code, data, versions and machine by name.
        rows: metrics of training, of its health and of snapshots by step, as far as the weights build on it.
        measures: the reported measures, with their intervals and the values of real images.
        step: that of the weights which were measured; else the last.
        diagnoses: of the training's health.
        sheets: the samples of each snapshot, and the published ones.
    """

    run_id: str
    family: str
    data: str
    status: str
    began: float
    settings: dict[str, str]
    origins: dict[str, str]
    rows: list[Row]
    measures: dict[str, float]
    step: int
    diagnoses: list[HealthEvent]
    sheets: list[Sheet]

    @property
    def name(self) -> str:
        """The family as part of a file name."""
        return formatting.slug(self.family)

    @property
    def sha256(self) -> str:
        """The hash of all that is exported; a path in the store always has the same picture."""
        parts = {
            "diagnoses": [event.to_json() for event in self.diagnoses],
            "sheets": [vars(sheet) for sheet in self.sheets],
        }
        return json_sha256(vars(self) | parts)

    @property
    def points(self) -> Iterator[tuple[int, float, Row]]:
        """The step, the time and the metrics of each row."""
        for row in self.rows:
            values = {name: value for name, value in row.items() if name not in COLUMNS}
            yield int(row["step"]), self.began + float(row.get("seconds") or 0.0), values

    def time(self, step: int) -> float:
        """Return when training reached a step, in seconds since 1970."""
        return self.began + (results.cost_at(self.rows, step)["seconds"] or 0.0)


def read(store: Store, run: RunManifest) -> list[History]:
    """Return the histories of all families of a run, finished or not, and of the trials of its sweeps."""
    measured = {result.family: result for result in results.results_of(store, run, "")}
    histories = [_history(store, run, family, measured.get(family)) for family in run.families]
    for stage in run.stages:
        if stage.name == "sweep":
            swept = search_result(store, stage)[1]
            histories += [_trial(store, run, stage, swept, trial) for trial in swept.trials]
    return histories


def image(store: Store, sheet: Sheet) -> np.ndarray | None:
    """Return the picture of a sheet as uint8 (H, W, 3); None if it cannot be read."""
    try:
        return sheets.decode_webp(store.read_bytes(sheet.path))
    except (*MISSING_OR_TORN, OSError):
        return None


def _history(store: Store, run: RunManifest, family: str, result: FamilyResult | None) -> History:
    stage = run.stage("train", family)
    course, diagnoses, drawn = Course([], {}, {}), list[HealthEvent](), list[Sheet]()
    if folder := results.folder_of(store, stage, ""):
        diagnoses = health.read_events(store, folder.path, results.training_result(folder))
        course = read_course(store, folder.path, health.back_to(diagnoses))
        grids = results.drawn(folder, course)
        drawn = [Sheet(WAYS[way], step, f"{folder.path}/samples/{name}") for way, step, name in grids]
    checkpoint = result and result.checkpoints.get(result.kept)
    step = checkpoint.step if checkpoint else int(course.rows[-1]["step"]) if course.rows else 0
    if result and result.samples:
        drawn.append(Sheet("published samples", step, result.samples))
    return History(
        run_id=run.run_id,
        family=family,
        data=run.lineage.data.name,
        status="failed" if any(s.family == family and not s.optional for s in run.failed) else run.standing,
        began=_seconds(stage.started if stage else None) or _seconds(run.started),
        settings=_settings(run, family),
        origins=comparison.origins(run),
        rows=course.rows,
        measures=dict(_measures(result)) if result else {},
        step=step,
        diagnoses=diagnoses,
        sheets=drawn,
    )


def _trial(store: Store, run: RunManifest, stage: StageEntry, swept: SweepResult, trial: Trial) -> History:
    """Return the history of a trial: its metrics, and the values that it was judged by."""
    family, metric = stage.family or "", swept.metric.name or "score"
    rows = list(read_course(store, trial.uri).rows) if trial.uri else []
    judged = [(p.step, p.seconds, p.value) for p in trial.curve if p.value is not None]
    rows += [{"step": step, "seconds": s or 0.0, f"search/{metric}": value} for step, s, value in judged]
    values = {f"families.{family}.{name}": json.dumps(value) for name, value in trial.values.items()}
    reached = {metric: trial.value, "cost": trial.cost}
    return History(
        run_id=run.run_id,
        family=f"{family}-trial-{trial.number:03}",
        data=run.lineage.data.name,
        status=trial.state,
        began=_seconds(stage.started) + (trial.offset or 0.0),
        settings=_settings(run, family) | values,
        origins=comparison.origins(run),
        rows=sorted(rows, key=lambda row: row["step"]),
        measures={name: value for name, value in reached.items() if value is not None},
        step=trial.step,
        diagnoses=[],
        sheets=[Sheet("samples", trial.step, trial.picture)] if trial.picture else [],
    )


def _settings(run: RunManifest, family: str) -> dict[str, str]:
    """Return the settings of a run without those of other families, as JSON."""
    config = {**run.lineage.config, "families": {family: run.lineage.families.get(family, {})}}
    return comparison.settings(config)


def _measures(result: FamilyResult) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a result by name."""
    for name, metric in result.metrics.items():
        for suffix, field in VALUES.items():
            if (value := getattr(metric, field)) is not None:
                yield f"{name}{suffix}", value


def _seconds(moment: str | None) -> float:
    """Return an ISO 8601 time in seconds since 1970; 0 if it is none."""
    try:
        return datetime.fromisoformat(moment or "").timestamp()
    except ValueError:
        return 0.0
