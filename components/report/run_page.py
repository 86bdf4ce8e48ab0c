"""What the pages show, gathered from the store as plain values. What is missing or torn is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from components.report import ablation, checkpoints, formatting, health, latent_analysis, leaderboard
from components.report.metric_labels import MEASURES, measure
from components.report.results import (
    CURVED,
    cost_at,
    failures,
    family_names,
    finite,
    neighbours,
    originals,
    read_run,
    real_images,
    results_of,
    told,
    training_of,
)
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

NUMBERS = ("value", "low", "high", "floor")  # of a judged metric

RECIPE = (
    "n",
    "extractor",
    "extractor_hash",
    "split",
    "better",
    "comparability",
)  # how it was measured, in short

COMPLEXITY = "Trainable numbers in the exported generator: what there is to fit, store and explain."

DEFINITIONS = {
    "complexity": COMPLEXITY,
    "parameters": COMPLEXITY,
    "stability": "How steadily the samples improved. Backslide: what was lost between snapshots over "
    "what was gained, 0 is steady. Kept: the share of the best improvement that was still there at the end.",
    "quality": "The distance between samples and test images from the leaderboard; lower is better.",
    "speed": "Images drawn per second, and seconds of training.",
}


def families(
    store: Store, run: Mapping[str, Any], results: Sequence[Mapping[str, Any]], report: str
) -> list[dict[str, Any]]:
    """What each family leaves to look at: curves, grids, health, quality over time, and whether it failed."""
    # A training without a class serves the family's uses; it is not the family's own.
    own_stages = [s for s in run.get("stages") or [] if not s.get("without")]
    stages = {(s.get("name"), s.get("family")): s for s in own_stages}
    by_family = {r.get("family"): r for r in results}
    failed = {f["family"]: f["error"] for f in failures(run)}
    settings = ((run.get("lineage") or {}).get("config") or {}).get("families") or {}
    entries = []
    for name in family_names(run):
        stage, result = stages.get(("train", name), {}), by_family.get(name, {})
        shown = training_of(store, stage, settings.get(name) or {}, report)
        own, rows = shown.pop("own"), shown.pop("rows")
        guess = "reconstruct" if shown["samples"].get("originals") else "generate"
        entries.append(
            {
                "name": name,
                "task": result.get("task") or own.get("task") or guess,
                "state": stage.get("state", "waiting"),
                "error": failed.get(name),
                **shown,
                "quality": [
                    cost_at(rows, point.get("step", 0)) | point for point in result.get("curve") or []
                ],
                "kept": checkpoints.kept_step(result),
                "neighbours": neighbours(store, result, report),
                "studies": told(store, run, stages.get(("ablation", name), {}), report, ablation.of_family),
                "uses": told(
                    store, run, stages.get(("latent_analysis", name), {}), report, latent_analysis.of_family
                ),
            }
        )
    return entries


def timeline(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The stages without what only the lineage needs."""
    keys = ("name", "family", "state", "started", "ended", "seconds", "work_seconds", "cached_from", "error")
    return [{key: stage.get(key) for key in keys} for stage in run.get("stages") or []]


def table(run: Mapping[str, Any]) -> dict[str, Any]:
    """The field's table: columns with definitions, rows of text."""
    rows = [row for row in run.get("table") or [] if isinstance(row, dict)]
    names = [name for name in dict.fromkeys(key for row in rows for key in row) if name != "family"]
    columns = [
        {"label": name.replace("_", " ").capitalize(), "meaning": DEFINITIONS.get(name, "")} for name in names
    ]
    return {
        "columns": columns,
        "rows": [
            {"family": row.get("family"), "cells": [said_of(name, row.get(name)) for name in names]}
            for row in rows
        ],
    }


def said_of(name: str, value: Any) -> list[str]:
    """A cell of the field's table as lines."""
    if isinstance(value, Mapping):
        labels = {key: MEASURES[key].label if key in MEASURES else key.replace("_", " ") for key in value}
        return [f"{labels[key]} {', '.join(said_of(key, item))}" for key, item in value.items()]
    if isinstance(value, list):
        return [", ".join(formatting.short(item) for item in value)]
    return [formatting.count(value) if name in ("complexity", "parameters") else formatting.short(value)]


def run_page(store: Store, run_id: str) -> dict[str, Any]:
    """All that the page of a run shows. Copies the images it needs into the report's folder."""
    run = finite(read_run(store, run_id))
    report = f"runs/{run_id}/report"
    results = results_of(store, run)
    failed = failures(run)
    names = family_names(run)
    lineage = run.get("lineage") or {}
    entries = finite(families(store, run, results, report))
    swept_by = sweeps(store, run, report)
    # A family has finished all the same where what comes after it failed.
    lost = dict.fromkeys(f["family"] for f in failed if f["family"] and not f["optional"])
    return {
        "run": run,
        "run_id": run_id,
        "title": (lineage.get("data") or {}).get("title")
        or (lineage.get("data") or {}).get("name")
        or "Unnamed data",
        "verdict": " ".join(
            [sweep.verdict for sweep in swept_by]
            + ([leaderboard.verdict(run, results, names, list(lost))] if results or not swept_by else [])
        ),
        "sweeps": swept_by,
        "groups": leaderboard.groups(results),
        "checkpoints": checkpoints.checkpoints(results),
        "classes": checkpoints.classes(results),
        "neighbours": any(entry["neighbours"] for entry in entries),
        "health": [entry for entry in entries if entry["health"]],
        "studied": [entry for entry in entries if entry["studies"]],
        "used": [entry for entry in entries if entry["uses"]],
        # A sweep trains and judges its trials out of sight: only what its winner has is worth a section.
        "has": {
            "leaderboard": bool(results) or not swept_by,
            "samples": any(entry["samples"]["grids"] for entry in entries) or not swept_by,
            "comparison": bool(run.get("table")) or not swept_by,
            "training": any(entry["curves"]["step"] for entry in entries) or not swept_by,
        },
        "in_full": health.IN_FULL,
        "table": table(run),
        "failures": failed,
        "states": STATES,
        "config": yaml.safe_dump(lineage.get("config") or {}, sort_keys=False, allow_unicode=True),
        "inline": {
            "kind": "run",
            "started": run.get("started"),
            "until": run.get("ended") or run.get("heartbeat"),
            "resolution": (lineage.get("data") or {}).get("resolution"),
            "classes": (lineage.get("data") or {}).get("labels"),
            "families": entries,
            "sweeps": [sweep.drawn for sweep in swept_by],
            "real": real_images(store, run.get("stages") or [], report) or originals(entries),
            "stages": timeline(run),
            "states": STATES,
            "vitals": health.VITALS,
            "measures": {name: measure(name).label for name in CURVED},
        },
    }
