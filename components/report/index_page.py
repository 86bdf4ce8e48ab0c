"""The page of all runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from components.report import leaderboard
from components.report.metric_labels import MEASURES, measure
from components.report.reading import read_json, rounded
from components.report.results import failures, family_names, finite
from components.report.run_page import NUMBERS, RECIPE
from components.store import Store


def summary(run_id: str, run: Mapping[str, Any]) -> dict[str, Any]:
    """A run as a line of the index; one whose manifest cannot be read says so."""
    lineage = run.get("lineage") or {}
    data = lineage.get("data") or {}
    keep = ("family", "task", "parameters", "train_seconds", "samples_per_second")
    return {
        "run_id": run_id,
        "status": run.get("status") or "unreadable",
        "kind": "sweep" if any(s.get("name") == "sweep" for s in run.get("stages") or []) else "run",
        **{key: run.get(key) for key in ("started", "ended", "seconds", "smoke")},
        "data": {key: data.get(key) for key in ("name", "title", "version")},
        "commit": lineage.get("commit"),
        "dirty": lineage.get("dirty"),
        "config_hash": lineage.get("config_hash"),
        "families": family_names(run),
        "failed": list(dict.fromkeys(f["family"] for f in failures(run) if f["family"])),
        "results": [
            {**{key: result.get(key) for key in keep}, "metrics": _in_short(result.get("metrics") or {})}
            for result in run.get("results") or []
        ],
        "best": leaderboard.leaders(run.get("results") or []),
        "report": f"runs/{run_id}/report/index.html" if run.get("report") else None,
    }


def _in_short(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Metrics without their recipes and classes: the run's own page has those."""
    keys = (*NUMBERS, *RECIPE, "note")
    return {name: {key: metric.get(key) for key in keys} for name, metric in metrics.items()}


def index_page(store: Store) -> dict[str, Any]:
    """All runs, newest first."""
    ids = store.list("runs")
    with ThreadPoolExecutor(1 if store.is_local else 16) as pool:
        runs = pool.map(lambda run_id: read_json(store, f"runs/{run_id}/run.json"), ids)
        lines = [finite(summary(run_id, run)) for run_id, run in zip(ids, runs, strict=True)]
    lines.sort(key=lambda line: (str(line["started"] or ""), line["run_id"]), reverse=True)
    return {"schema": 1, "runs": lines}


def compact(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The lines of the index for its page: the main measures, their recipes said once for a thousand runs."""
    recipes: dict[str, int] = {}

    def pack(metric: Mapping[str, Any]) -> list[Any]:
        recipe = {key: metric.get(key) for key in RECIPE}
        number = recipes.setdefault(json.dumps(recipe), len(recipes))
        return [
            *(rounded(metric.get(key)) for key in NUMBERS),
            number,
            metric.get("note"),
        ]

    lines = []
    for run in runs:
        results = [
            {**r, "metrics": {n: pack(m) for n, m in (r.get("metrics") or {}).items() if measure(n).main}}
            for r in run["results"]
        ]
        lines.append({**run, "results": results})
    measures = {name: [shown.label, shown.percent] for name, shown in MEASURES.items()}
    return {"measures": measures, "recipes": [json.loads(recipe) for recipe in recipes], "runs": lines}
