"""The page of all runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from components.common.finite import finite
from components.common.hashing import json_sha256
from components.common.ranking import DISTANCES, OTHERS
from components.families.tasks import DEFAULT
from components.records.evaluation import Metrics
from components.records.names import page_of
from components.records.run import RunSummary
from components.report import leaderboard
from components.report.baselines import unlike_real
from components.report.metric_labels import MEASURES, measure
from components.report.reading import read_json, rounded
from components.stages.code_digest import code
from components.store import Store

INDEX = "index.json"

NUMBERS = ("value", "low", "high", "real_baseline")  # of a metric

RECIPE = ("n", "extractor", "extractor_hash", "split", "better", "comparability")  # in short


def summary(run_id: str, run: RunSummary | None) -> Mapping[str, Any]:
    """Return a run as a line of the index; its status is `unreadable` if the manifest cannot be read."""
    run, status = run or RunSummary(run_id=run_id), run.status if run else "unreadable"
    costs, data = ("family", "parameters", "train_seconds", "samples_per_second"), run.lineage.data
    return {
        "run_id": run_id,
        "status": status,
        **{name: getattr(run, name) for name in ("kind", "started", "ended", "seconds", "smoke")},
        "data": {name: getattr(data, name) for name in ("name", "title", "version")},
        **{name: getattr(run.lineage, name) for name in ("commit", "dirty", "config_hash")},
        "families": run.families,
        "failed": list(dict.fromkeys(s.family for s in run.failed if s.family and s.error != "interrupted")),
        "results": [
            {
                **{name: getattr(result, name) for name in costs},
                "task": result.task or DEFAULT,
                "metrics": _in_short(result.metrics),
                "unlike": unlike_real(result),
            }
            for result in run.results
        ],
        "best": leaderboard.leaders(run.results),
        "written": _written(run),
        "report": page_of(run_id) if run.report else None,
    }


def _written(run: RunSummary) -> dict[str, list[float]]:
    """Return the number, the bytes and the seconds of the stages that ran in a run, by stage."""
    totals: dict[str, list[float]] = {}
    for stage in run.stages:
        if stage.state == "ran":
            total = totals.setdefault(stage.name, [0, 0, 0.0])
            for i, value in enumerate((1, stage.bytes or 0, stage.seconds or 0.0)):
                total[i] += value
    return totals


def _in_short(metrics: Metrics) -> dict[str, Mapping[str, Any]]:
    """Return metrics without recipes and classes, which are on the run's page."""
    keys = (*NUMBERS, *RECIPE, "note")
    return {name: {key: getattr(metric, key) for key in keys} for name, metric in metrics.items()}


def index_page(store: Store, changed: str | None = None) -> Mapping[str, Any]:
    """Return all runs, newest first.

    If only the run `changed` is known to have changed, the lines of runs that have ended for good are taken
    from index.json, unless other code has written it.
    """
    ids, made_by = store.list("runs"), json_sha256(code("components.report.index_page"))
    before = read_json(store, INDEX) if changed else {}
    lines = before["runs"] if before.get("made_by") == made_by else []
    ended = {line["run_id"]: line for line in lines if _has_ended(line) and line["run_id"] != changed}

    def line_of(run_id: str) -> Mapping[str, Any]:
        if run_id in ended:
            return ended[run_id]
        run = RunSummary.read(read_json(store, f"runs/{run_id}/run.json"))
        line: Mapping[str, Any] = finite(summary(run_id, run))
        return line

    with ThreadPoolExecutor(1 if store.is_local else 16) as pool:
        lines = sorted(
            pool.map(line_of, ids), key=lambda line: (line["started"] or "", line["run_id"]), reverse=True
        )
    return {"schema": 1, "made_by": made_by, "runs": lines}


class StageTotal(NamedTuple):
    """The bytes and hours of all runs in a stage; shares are of the largest, in percent."""

    stage: str
    outputs: int
    bytes: float
    seconds: float
    share: float = 0.0


class Written(NamedTuple):
    """What all runs have written and computed."""

    bytes: float
    seconds: float
    stages: list[StageTotal]


def written(runs: Sequence[Mapping[str, Any]]) -> Written:
    """Return the totals of all runs, the stages with the most bytes first."""
    totals: dict[str, list[float]] = {}
    for run in runs:
        for stage, values in run["written"].items():
            total = totals.setdefault(stage, [0, 0, 0.0])
            for i, value in enumerate(values):
                total[i] += value
    most = max((total[1] for total in totals.values()), default=0) or 1
    stages = [StageTotal(n, int(t[0]), t[1], t[2], 100 * t[1] / most) for n, t in totals.items()]
    return Written(
        sum(total.bytes for total in stages),
        sum(total.seconds for total in stages),
        sorted(stages, key=lambda total: (-total.bytes, total.stage)),
    )


def _has_ended(line: Mapping[str, Any]) -> bool:
    """Return whether a run cannot change any more; a sweep that failed or was interrupted may be resumed."""
    return line["status"] in ("done", "partial") or (
        line["kind"] == "run" and line["status"] in ("failed", "interrupted")
    )


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
        size = sum(total[1] for total in run["written"].values())
        lines.append({**run, "results": results, "written": size})
    measures = {name: [definition.label, definition.percent] for name, definition in MEASURES.items()}
    return {
        "measures": measures,
        "ranking": [DISTANCES, OTHERS],
        "recipes": [json.loads(recipe) for recipe in recipes],
        "runs": lines,
    }
