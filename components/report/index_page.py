"""The page of all runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from components.common.finite import finite
from components.records.evaluation import Metrics
from components.records.run import RunSummary
from components.report import leaderboard
from components.report.metric_labels import MEASURES, measure
from components.report.reading import read_json, rounded
from components.store import Store

NUMBERS = ("value", "low", "high", "real_baseline")  # of a metric

RECIPE = ("n", "extractor", "extractor_hash", "split", "better", "comparability")  # in short


def summary(run_id: str, run: RunSummary | None) -> Mapping[str, Any]:
    """Return a run as a line of the index; its status is `unreadable` if the manifest cannot be read."""
    run, status = run or RunSummary(run_id=run_id), run.status if run else "unreadable"
    costs, data = ("family", "task", "parameters", "train_seconds", "samples_per_second"), run.lineage.data
    return {
        "run_id": run_id,
        "status": status,
        **{name: getattr(run, name) for name in ("kind", "started", "ended", "seconds", "smoke")},
        "data": {name: getattr(data, name) for name in ("name", "title", "version")},
        **{name: getattr(run.lineage, name) for name in ("commit", "dirty", "config_hash")},
        "families": run.families,
        "failed": list(dict.fromkeys(stage.family for stage in run.failed if stage.family)),
        "results": [
            {**{name: getattr(result, name) for name in costs}, "metrics": _in_short(result.metrics)}
            for result in run.results
        ],
        "best": leaderboard.leaders(run.results),
        "report": f"runs/{run_id}/report/index.html" if run.report else None,
    }


def _in_short(metrics: Metrics) -> dict[str, Mapping[str, Any]]:
    """Return metrics without recipes and classes, which are on the run's page."""
    keys = (*NUMBERS, *RECIPE, "note")
    return {name: {key: getattr(metric, key) for key in keys} for name, metric in metrics.items()}


def index_page(store: Store) -> Mapping[str, Any]:
    """Return all runs, newest first."""
    ids = store.list("runs")
    with ThreadPoolExecutor(1 if store.is_local else 16) as pool:
        runs = pool.map(lambda run_id: RunSummary.read(read_json(store, f"runs/{run_id}/run.json")), ids)
        lines = [finite(summary(run_id, run)) for run_id, run in zip(ids, runs, strict=True)]
    lines.sort(key=lambda line: (line["started"] or "", line["run_id"]), reverse=True)
    return {"schema": 1, "runs": lines}


def compact(runs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the lines of the index for its page: the main metrics, with each recipe stored only once."""
    recipes: dict[str, int] = {}

    def pack(metric: Mapping[str, Any]) -> list[Any]:
        recipe = {key: metric[key] for key in RECIPE}
        number = recipes.setdefault(json.dumps(recipe), len(recipes))
        return [
            *(rounded(metric[key]) for key in NUMBERS),
            number,
            metric["note"],
        ]

    lines = []
    for run in runs:
        results = [
            {**r, "metrics": {n: pack(m) for n, m in r["metrics"].items() if measure(n).main}}
            for r in run["results"]
        ]
        lines.append({**run, "results": results})
    measures = {name: [definition.label, definition.percent] for name, definition in MEASURES.items()}
    return {"measures": measures, "recipes": [json.loads(recipe) for recipe in recipes], "runs": lines}
