"""What the pages show, gathered from the store as plain values. What is missing or torn is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

from components.records.run import FamilyResult, RunManifest, TableRow
from components.report import ablation, checkpoints, formatting, health, latent_analysis, leaderboard
from components.report.ablation import FamilyAblations
from components.report.health import HealthView
from components.report.latent_analysis import LatentAnalysis
from components.report.metric_labels import MEASURES, measure
from components.report.reading import Curves, LatentCourse, NoiseProfile
from components.report.results import (
    CURVED,
    NeighboursView,
    Samples,
    cost_at,
    failures,
    folder_of,
    neighbours,
    originals,
    read_run,
    real_images,
    results_of,
    told,
    training_of,
)
from components.report.sweep import SweepSection
from components.report.sweep_reading import sweeps
from components.store import Store

STATES = {
    "ran": "computed in this run",
    "cached": "taken over from an earlier run",
    "running": "under way",
    "waiting": "not started",
    "failed": "stopped with an error",
    "skipped": "not needed, or could not start",
}

COMPLEXITY = "Trainable numbers in the exported generator: what there is to fit, store and explain."

DEFINITIONS = {
    "complexity": COMPLEXITY,
    "parameters": COMPLEXITY,
    "stability": "How steadily the samples improved. Backslide: what was lost between snapshots over "
    "what was gained, 0 is steady. Kept: the share of the best improvement that was still there at the end.",
    "quality": "The distance between samples and test images from the leaderboard; lower is better.",
    "speed": "Images drawn per second, and seconds of training.",
}


@dataclass(frozen=True)
class FamilyView:
    """What a family leaves to look at: curves, grids, health, quality over time, and whether it failed."""

    name: str
    task: str
    state: str
    error: str | None
    curves: Curves
    by_noise: list[NoiseProfile]
    by_latent: list[LatentCourse]
    samples: Samples
    health: HealthView | None
    quality: list[dict[str, float | None]]  # what it cost and the metrics of each snapshot
    kept: int | None  # the step of the weights that are given out
    neighbours: NeighboursView | None
    studies: FamilyAblations | None
    uses: LatentAnalysis | None


def family_view(
    store: Store, run: RunManifest, name: str, result: FamilyResult | None, report: str
) -> FamilyView:
    """What a family of a run leaves to look at."""
    stage, settings = run.stage("train", name), run.lineage.families.get(name)
    training = training_of(folder_of(store, stage, report), settings if isinstance(settings, dict) else {})
    guess = "reconstruct" if training.samples.originals else "generate"
    errors = [failure.error for failure in failures(run) if failure.family == name]
    return FamilyView(
        name,
        (result.task if result else "") or guess,
        stage.state if stage else "waiting",
        errors[-1] if errors else None,
        training.curves,
        training.by_noise,
        training.by_latent,
        training.samples,
        training.health,
        [cost_at(training.rows, p.get("step") or 0) | p for p in (result.curve if result else [])],
        checkpoints.kept_step(result) if result else None,
        neighbours(store, result, report) if result else None,
        told(store, run, run.stage("ablation", name), report, ablation.of_family),
        told(store, run, run.stage("latent_analysis", name), report, latent_analysis.of_family),
    )


def timeline(run: RunManifest) -> list[Mapping[str, Any]]:
    """The stages without what only the lineage needs."""
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
    """The field's table: columns with definitions, rows of text."""
    names = [name for name in TableRow.model_fields if name != "family"]
    return Table(
        [TableColumn(name.capitalize(), DEFINITIONS.get(name, "")) for name in names],
        [TableLine(row.family, [lines_of(getattr(row, name)) for name in names]) for row in rows],
    )


def lines_of(value: Mapping[str, float | None] | int | str | None) -> list[str]:
    """A cell of the field's table as lines."""
    if not isinstance(value, Mapping):
        return [formatting.short(value)]
    labels = {name: MEASURES[name].label if name in MEASURES else name.replace("_", " ") for name in value}
    shown = {n: formatting.count(v) if n == "parameters" else formatting.short(v) for n, v in value.items()}
    return [f"{labels[name]} {text}" for name, text in shown.items()]


def verdict(run: RunManifest, results: Sequence[FamilyResult], swept: Sequence[SweepSection]) -> str:
    """The outcome of a run in a few sentences."""
    # A family has finished all the same where what comes after it failed.
    lost = dict.fromkeys(stage.family for stage in run.failed if stage.family and not stage.optional)
    parts = [sweep.verdict for sweep in swept]
    if results or not swept:
        parts.append(leaderboard.verdict(run.status, results, len(run.families), list(lost)))
    return " ".join(parts)


def run_page(store: Store, run_id: str) -> Mapping[str, Any]:
    """All that the page of a run shows. Copies the images it needs into the report's folder."""
    run, report = read_run(store, run_id), f"runs/{run_id}/report"
    results = results_of(store, run, report)
    by_family = {result.family: result for result in results}
    entries = [family_view(store, run, name, by_family.get(name), report) for name in run.families]
    swept = sweeps(store, run, report)
    return {
        "run": run,
        "run_id": run_id,
        "title": run.lineage.data.title or run.lineage.data.name or "Unnamed data",
        "verdict": verdict(run, results, swept),
        "sweeps": swept,
        "groups": leaderboard.groups(results),
        "checkpoints": checkpoints.checkpoints(results),
        "classes": checkpoints.classes(results),
        "neighbours": any(entry.neighbours for entry in entries),
        "health": [entry for entry in entries if entry.health],
        "studied": [entry for entry in entries if entry.studies],
        "used": [entry for entry in entries if entry.uses],
        # A sweep trains and judges its trials out of sight: only what its winner has is worth a section.
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
        "inline": inlined(store, run, entries, swept, report),
    }


def inlined(
    store: Store,
    run: RunManifest,
    entries: Sequence[FamilyView],
    swept: Sequence[SweepSection],
    report: str,
) -> Mapping[str, Any]:
    """What the script of the page draws."""
    return {
        "kind": "run",
        "started": run.started,
        "until": run.ended or run.heartbeat,
        "resolution": run.lineage.data.resolution,
        "classes": run.lineage.data.labels,
        "families": entries,
        "sweeps": [sweep.drawn for sweep in swept],
        "real": real_images(store, run, report) or originals([entry.samples for entry in entries]),
        "stages": timeline(run),
        "states": STATES,
        "vitals": health.VITALS,
        "measures": {name: measure(name).label for name in CURVED},
    }
