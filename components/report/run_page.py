"""The data of a run's page, gathered from the store. Missing or torn parts are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import yaml

from components.families.tasks import DEFAULT, TASKS
from components.records.evaluation import Metrics
from components.records.run import FamilyResult, RunManifest, TableRow
from components.registry import reviews
from components.report import (
    ablation,
    checkpoints,
    comparison,
    formatting,
    gate,
    health,
    latent_analysis,
    leaderboard,
)
from components.report.ablation import FamilyAblations
from components.report.contact_sheet import Strip, strip
from components.report.health import HealthView
from components.report.judging import judged_briefly
from components.report.latent_analysis import LatentAnalysis
from components.report.metric_labels import MEASURES, mark, measure
from components.report.preferences import preferences
from components.report.reading import Curves, LatentCourse, NoiseProfile, read_json
from components.report.results import (
    NeighboursView,
    RealSheet,
    Samples,
    cost_at,
    failures,
    folder_of,
    neighbours,
    originals,
    read_run,
    real_images,
    results_of,
    stage_view,
    training_of,
)
from components.report.sweep import SweepSection
from components.report.sweep_reading import sweeps
from components.store import Store
from components.store.urls import is_confined

STATES = {
    "ran": "computed in this run",
    "cached": "reused from an earlier run",
    "running": "in progress",
    "waiting": "not started",
    "failed": "stopped with an error",
    "skipped": "not needed, or could not start",
}

COMPLEXITY = "Trainable parameters of the exported generator."

DEFINITIONS = {
    "complexity": COMPLEXITY,
    "parameters": COMPLEXITY,
    "stability": "How steadily the samples improved. Regression ratio: losses between snapshots over gains; "
    "0 is steady. Kept: the share of the best improvement that remained at the end.",
    "quality": "The distance between samples and test images from the leaderboard; lower is better.",
    "speed": "Images sampled per second, and seconds of training.",
}


@dataclass(frozen=True)
class FamilyView:
    """A family on the page: curves, grids, health, quality over time, and its failure, if any."""

    name: str
    task: str
    source: str  # what its samples are made from, as a column of pictures; empty: none
    divider: bool  # whether its samples are shown enlarged, under a divider
    state: str
    error: str | None
    curves: Curves
    by_noise: list[NoiseProfile]
    by_latent: list[LatentCourse]
    samples: Samples
    steps: int | None  # of the whole training, while it has not ended
    health: HealthView | None
    quality: list[dict[str, float | None]]  # cost and metrics of each snapshot
    kept: int | None  # the step of the exported weights
    neighbours: NeighboursView | None
    studies: FamilyAblations | None
    uses: LatentAnalysis | None
    styles: LatentAnalysis | None


def family_view(
    store: Store, run: RunManifest, name: str, result: FamilyResult | None, report: str
) -> FamilyView:
    """Return the view of a family of a run."""
    stage, content = run.stage("train", name), run.lineage.families.get(name)
    settings = content if isinstance(content, dict) else {}
    training = training_of(folder_of(store, stage, report), settings)
    task = (result.task if result else "") or training.samples.likely_task
    enlarges = task in TASKS and TASKS[task].smaller_source
    errors = [failure.error for failure in failures(run) if failure.family == name]
    return FamilyView(
        name,
        task,
        ("bicubic" if enlarges else "source") if training.samples.given else "",
        enlarges and training.samples.given is not None,
        stage.state if stage else "waiting",
        errors[-1] if errors else None,
        training.curves,
        training.by_noise,
        training.by_latent,
        training.samples,
        planned_steps(store, run, name),
        training.health,
        [cost_at(training.rows, p.get("step") or 0) | p for p in (result.curve if result else [])],
        checkpoints.kept_step(result) if result else None,
        neighbours(store, result, report) if result else None,
        stage_view(
            store, run, run.stage("ablation", name), report, partial(ablation.of_family, name, settings)
        ),
        stage_view(store, run, run.stage("latent_analysis", name), report, latent_analysis.of_family),
        stage_view(store, run, run.stage("style_analysis", name), report, latent_analysis.of_family),
    )


def planned_steps(store: Store, run: RunManifest, family: str) -> int | None:
    """Return the steps of a family's training that has not ended, from its spec, else the configuration."""
    stage = run.stage("train", family)
    if stage is None or stage.is_finished:
        return None
    spec = read_json(store, f"{stage.uri}/spec.json").get("settings") if is_confined(stage.uri) else None
    for settings in (spec, run.lineage.families.get(family), run.lineage.config):
        train = settings.get("train") if isinstance(settings, dict) else None
        steps = train.get("steps") if isinstance(train, dict) else None
        if isinstance(steps, int):
            return steps
    return None


def timeline(run: RunManifest) -> list[Mapping[str, Any]]:
    """Return the stages without the fields that only the lineage needs."""
    names = ("name", "family", "state", "started", "ended", "seconds", "work_seconds", "cached_from", "error")
    return [{name: getattr(stage, name) for name in names} for stage in run.stages]


class TableColumn(NamedTuple):
    """A column of the comparison table."""

    label: str
    meaning: str


class TableLine(NamedTuple):
    """A family's row of the comparison table; a cell has lines."""

    family: str
    cells: list[list[str]]


class Table(NamedTuple):
    """The comparison table."""

    columns: list[TableColumn]
    rows: list[TableLine]


def table(rows: Sequence[TableRow]) -> Table:
    """Return the comparison table: columns with definitions, rows of text."""
    names = [name for name in TableRow.model_fields if name != "family"]
    return Table(
        [TableColumn(name.capitalize(), DEFINITIONS.get(name, "")) for name in names],
        [TableLine(row.family, [lines_of(getattr(row, name)) for name in names]) for row in rows],
    )


def lines_of(value: Mapping[str, float | None] | int | str | None) -> list[str]:
    """Return the lines of a cell of the comparison table."""
    if not isinstance(value, Mapping):
        return [formatting.short(value)]
    labels = {name: MEASURES[name].label if name in MEASURES else name.replace("_", " ") for name in value}
    texts = {n: formatting.count(v) if n == "parameters" else formatting.short(v) for n, v in value.items()}
    return [f"{labels[name]} {text}" for name, text in texts.items()]


def verdict(run: RunManifest, results: Sequence[FamilyResult], swept: Sequence[SweepSection]) -> str:
    """Return the outcome of a run in a few sentences."""
    # A family has finished even if an optional stage failed.
    failed = dict.fromkeys(stage.family for stage in run.failed if stage.family and not stage.optional)
    parts = [sweep.verdict for sweep in swept]
    if results or not swept:
        parts.append(leaderboard.verdict(run.status, results, len(run.families), list(failed)))
    return " ".join(parts)


def run_page(store: Store, run_id: str) -> dict[str, Any]:
    """Return the data of a run's page; copy its images into the report's folder."""
    run, report = read_run(store, run_id), f"runs/{run_id}/report"
    results = results_of(store, run, report)
    by_family = {result.family: result for result in results}
    entries = [family_view(store, run, name, by_family.get(name), report) for name in run.families]
    swept = sweeps(store, run, report)
    real = real_images(store, run, report) or originals([entry.samples for entry in entries])
    return {
        "run": run,
        "run_id": run_id,
        "title": run.lineage.data.title or run.lineage.data.name or "Unnamed data",
        "verdict": verdict(run, results, swept),
        "sweeps": swept,
        "groups": leaderboard.groups(results),
        "checkpoints": checkpoints.checkpoints(results, run.lineage.families),
        "judge": judged_briefly(run, results),
        "classes": checkpoints.classes(results),
        "verdicts": gate.verdicts(run),
        "histories": gate.histories(store, run),
        "preferences": preferences(reviews.of_run(store, run_id), run_id),
        "initials": [(r.family, r.train.initial.sentence) for r in results if r.train.initial],
        "neighbours": any(entry.neighbours for entry in entries),
        "translated": any(entry.source for entry in entries),
        "health": [entry for entry in entries if entry.health],
        "studied": [entry for entry in entries if entry.studies],
        "used": [entry for entry in entries if entry.uses],
        "styled": [entry for entry in entries if entry.styles],
        # Trials of a sweep have their own section; the others need results of its winner.
        "has": {
            "leaderboard": bool(results) or not swept,
            "samples": any(entry.samples.grids for entry in entries) or not swept,
            "comparison": bool(run.table) or not swept,
            "training": any(entry.curves.step for entry in entries) or not swept,
        },
        "in_full": health.IN_FULL,
        "table": table(run.table),
        "failures": failures(run),
        "states": STATES,
        "config": yaml.safe_dump(run.lineage.config, sort_keys=False, allow_unicode=True),
        "inline": inlined(run, entries, swept, real, results),
        "strips": strips(run, entries, by_family, real, report),
        "compared": comparison.compared(run, results, [_compared(entry) for entry in entries]),
    }


def _compared(entry: FamilyView) -> Mapping[str, Any]:
    names = ("name", "task", "source", "samples", "steps", "kept", "quality")
    return {name: getattr(entry, name) for name in names}


def strips(
    run: RunManifest,
    entries: Sequence[FamilyView],
    results: Mapping[str, FamilyResult],
    real: RealSheet | None,
    report: str,
) -> list[Strip]:
    """Return the rows of the contact sheet of a run that has ended."""
    if run.status == "running":
        return []
    resolution = run.lineage.data.resolution
    rows = (
        [Strip("Real images", f"{real.split} split", f"{report}/{real.src}", real.resolution or resolution)]
        if real
        else []
    )
    tasks = {entry.task for entry in entries if entry.samples.grids and entry.task in TASKS}
    apart = tasks - {DEFAULT} if len(tasks) > 1 else set[str]()
    for entry in entries:
        if entry.samples.grids:
            metrics = results[entry.name].metrics if entry.name in results else {}
            note = _told(metrics) or entry.state
            # The values of two tasks are of different measures, which the page shows in different tables.
            name = f"{entry.name}, {TASKS[entry.task].title.lower()}" if entry.task in apart else entry.name
            rows.append(strip(name, note, entry.samples, report, resolution, entry.kept))
    return rows


def _told(metrics: Metrics) -> str:
    """Return the metric that ranks a result with its value; empty without any."""
    name = next(iter(leaderboard.metric_names([metrics])), "")
    if not name:
        return ""
    metric, definition = metrics[name], measure(name, metrics[name])
    return f"{definition.label} {definition.show(metric.value)}{mark(metric)}"


def inlined(
    run: RunManifest,
    entries: Sequence[FamilyView],
    swept: Sequence[SweepSection],
    real: RealSheet | None,
    results: Sequence[FamilyResult],
) -> dict[str, Any]:
    """Return the data that the page's script draws."""
    return {
        "kind": "run",
        "default_task": DEFAULT,
        "run_id": run.run_id,
        "started": run.started,
        "until": run.ended or run.heartbeat,
        "resolution": run.lineage.data.resolution,
        "classes": run.lineage.data.labels,
        "families": entries,
        "sweeps": [sweep.drawn for sweep in swept],
        "real": real,
        "stages": timeline(run),
        "states": STATES,
        "vitals": health.VITALS,
        **comparison.curves(results),
    }
