"""Data of a run for the page that compares runs: settings, code, data, numbers and samples, as a script.

A page opened from a file may load scripts, but may not read other files. So the data of a run is a script
that calls a function of the page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from components.common.hashing import json_sha256
from components.common.ranking import ranking_metric
from components.records.evaluation import MetricResult
from components.records.run import FamilyResult, RunManifest, flat
from components.report import formatting
from components.report.baselines import may_lead, unlike_real
from components.report.leaderboard import by_task, metric_names
from components.report.metric_labels import MARK, mark, measure, noted
from components.report.reading import rounded
from components.report.results import CURVED

DATA = "run-data.js"  # next to a run's page
PAIRED = "reconstruction_"  # prefix of a distance of images with targets, which snapshots have without it
FEW = "mostly bias: snapshots have few images, so that KID selects among them"


def settings(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings of a configuration by their full names, with their values as JSON."""
    return {name: json.dumps(value, ensure_ascii=False, default=str) for name, value in flat(config)}


def origins(run: RunManifest) -> dict[str, str]:
    """Return the code, the data, the versions and the machine of a run by name."""
    lineage, data, hardware = run.lineage, run.lineage.data, run.lineage.hardware
    changed = {True: "modified", False: "clean"}
    texts: dict[str, str | None] = {
        "commit": lineage.commit,
        "working tree": None if lineage.dirty is None else changed[lineage.dirty],
        "command": run.command,
        "configuration hash": lineage.config_hash,
        "data set": data.title or data.name,
        "data version": data.version,
        "data hash": data.hash,
        "images": ", ".join(f"{split} {formatting.number(n)}" for split, n in data.counts.items()),
        "resolution": str(data.resolution or ""),
        "processor": hardware.cpu if hardware else "",
        "cores": str(hardware.cores or "") if hardware else "",
        "GPUs": ", ".join(hardware.gpus) if hardware else "",
        **lineage.versions,
    }
    return {name: text for name, text in texts.items() if text}


def numbers(result: FamilyResult) -> Mapping[str, Any]:
    """Return the main metrics and the costs of a result, each with its text."""
    costs = {
        "parameters": ["Parameters", formatting.count(result.parameters)],
        "train_seconds": ["Training", formatting.duration(result.train_seconds)],
        "samples_per_second": ["Samples per second", formatting.number(result.samples_per_second)],
    }
    names = metric_names([result.metrics])
    named = {name: _metric(name, result.metrics[name], may_lead(result, name)) for name in names}
    return {
        "family": result.family,
        "task": result.task,
        "result": json_sha256(result.to_json()),
        "unlike": unlike_real(result),
        "metrics": {name: metric for name, metric in named.items() if metric},
        "costs": costs,
    }


def _metric(name: str, metric: MetricResult, may_lead: bool) -> Mapping[str, Any] | None:
    definition = measure(name, metric)
    if not definition.main:
        return None
    return {
        "label": definition.label,
        "better": metric.better,
        "value": rounded(metric.value),
        "text": f"{definition.show(metric.value)}{mark(metric)}",
        "note": metric.note or "",
        "interval": definition.show_interval(metric.low, metric.high),
        "real": "" if metric.real_baseline is None else definition.show_limit(metric.real_baseline),
        "comparability": metric.comparability,
        "may_lead": may_lead,
    }


def curves(results: Sequence[FamilyResult]) -> dict[str, Mapping[str, str]]:
    """Return the labels of the metrics of snapshots, the one that ranks first, and the notes on them.

    It is the metric that selected the snapshots of the first task, else the first of its leaderboard.
    """
    group = next(iter(by_task(results).values()), [])
    selected = [result.selected_by.metric for result in group if result.selected_by]
    ranking = ranking_metric([result.metrics for result in group]).removeprefix(PAIRED)
    notes = {name.removeprefix(PAIRED): note for name, note in noted([r.metrics for r in group]).items()}
    if "kid" in selected:
        notes.setdefault("frechet_distance", FEW)
    first = next((name for name in selected if name in CURVED and name not in notes), ranking)
    names = sorted(CURVED, key=lambda name: name != first)
    return {
        "measures": {name: measure(name).label + (MARK if name in notes else "") for name in names},
        "notes": {name: notes[name] for name in names if name in notes},
    }


def compared(
    run: RunManifest, results: Sequence[FamilyResult], families: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what the page that compares runs shows of a run."""
    data = run.lineage.data
    return {
        "run_id": run.run_id,
        "kind": run.kind,
        "status": run.status,
        "smoke": run.smoke,
        "title": data.title or data.name,
        "started": run.started,
        "seconds": run.seconds,
        "origins": origins(run),
        "settings": settings(run.lineage.config),
        "numbers": [numbers(result) for result in results],
        "families": families,
        "classes": data.labels,
        "resolution": data.resolution,
        **curves(results),
    }
