"""What a run's plan and results look like in a terminal and as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from typing import Any

from rich.console import Console
from rich.table import Table

from components.common import hashing
from components.common.paths import home
from components.config.experiment import Experiment
from components.families.tasks import TASKS
from components.pipeline import anomaly_models
from components.pipeline.graph import of_scope, planned
from components.report.results import builds_on
from components.stages import cache
from components.stages.spec import Spec, difference
from components.store import Store, open_store
from flows.setup import check_stages, plan_of

METRICS = {  # in the terminal, at most so many; the page has them all
    "generate": ("fid", "frechet_distance", "kid", "precision", "recall", "label_accuracy", "retrieval_top5")
    + ("memorised",),
    "other": ("rfid", "r_frechet_distance", "mse", "psnr", "ssim", "lpips"),
}


def show_plan(experiment: Experiment, force: Collection[str], *, as_json: bool = False) -> None:
    """What would run, what is cached, and the minutes to expect."""
    from flows.run import why

    check_stages(force)
    store = open_store(experiment.store.url, home())
    plan = plan_of(experiment, store)
    if plan is None:
        because = "runs: the data is not prepared yet"
        rows: list[dict[str, Any]] = [
            {"stage": title, "key": None, "because": because} for title in unplanned(experiment)
        ]
    else:
        anomaly_models.check(plan)
        rows = [
            {"stage": spec.title, "key": spec.key, "because": why(store, spec, forced=spec.stage in force)}
            | {"seconds": expected(store, spec), "after": after(spec)}
            for _, spec in planned(plan).values()
        ]
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        below = f"; builds on {', '.join(row['after'])}" if row.get("after") else ""
        print(f"{row['stage']:<22} {row['key'] or '':<18} {row['because']}{below}")
    seconds = [row.get("seconds") for row in rows if row["because"].startswith("runs")]
    if any(s is not None for s in seconds):
        print(
            f"expected, from earlier results of the same stages: "
            f"{sum(s or 0 for s in seconds) / 60:.1f} minutes of work"
        )
    elif seconds:
        print("nothing like it has run here before, so there is no estimate; see the header of the config")


def unplanned(experiment: Experiment) -> list[str]:
    """The titles of the stages that every run has, before its data is there to say of which others."""
    always = [stage for stage in of_scope("data") if stage.name != "captions"]
    families = [
        f"{name} {family}" for family in experiment.families for name in ("train", "evaluate", "export")
    ]
    return [*(stage.name for stage in always), *families, *(stage.name for stage in of_scope("run"))]


def after(spec: Spec) -> list[str]:
    """The other families whose trained models a stage builds on."""
    below = (name.partition("train/")[2] for name in spec.upstream)
    return [family for family in below if family not in ("", spec.family)] if spec.family else []


def expected(store: Store, spec: Spec) -> float | None:
    """Seconds that the newest result of the same stage and family took."""
    old = cache.latest(store, spec)
    if old is None:
        return None
    key = hashing.key_of(old)
    folder = store.child("store", spec.stage, key)
    attempt = folder.read_json("_SUCCESS")["attempt"]
    seconds: float = folder.read_json(f"attempts/{attempt}/result.json")["seconds"]
    return seconds


def explanation(store: Store, record: dict[str, Any]) -> list[tuple[str, str, str]]:
    """For each stage of a run: its state, and what of its key differs from the run before that had it."""
    earlier = [run_id for run_id in store.list("runs") if run_id < record["run_id"]]
    rows = []
    for stage in record["stages"]:
        title = f"{stage['name']} {stage['family']}" if stage["family"] else stage["name"]
        if stage["state"] == "cached":
            why = f"done by run {stage['cached_from']}, nothing it depends on changed"
        else:
            why = stage["error"] or _changes(store, stage, earlier)
        below = builds_on(stage, record["stages"])
        rows.append((title, stage["state"], f"{why}; builds on {', '.join(below)}" if below else why))
    return rows


def _changes(store: Store, stage: dict[str, Any], earlier: list[str]) -> str:
    for run_id in reversed(earlier):
        before = store.read_json(f"runs/{run_id}/run.json")["stages"]
        same = [s for s in before if (s["name"], s["family"]) == (stage["name"], stage["family"])]
        if same and store.exists(f"{same[0]['uri']}/spec.json"):
            if same[0]["key"] == stage["key"]:
                return f"the same key as in run {run_id}: forced, or it had not finished"
            old = store.read_json(f"{same[0]['uri']}/spec.json")
            return "; ".join(difference(old, store.read_json(f"{stage['uri']}/spec.json")))
    return "never done before"


def summary(record: dict[str, Any]) -> dict[str, Any]:
    """What `atelier run --json` prints."""
    wanted = ("name", "family", "key", "state", "seconds")
    results = ("family", "metrics", "parameters", "train_seconds", "images_seen", "samples_per_second")
    return {
        "run_id": record["run_id"],
        "status": record["status"],
        "manifest": f"runs/{record['run_id']}/run.json",
        "report": record["report"],
        "seconds": record["seconds"],
        "stages": [{name: stage[name] for name in wanted} for stage in record["stages"]],
        "results": [{name: result[name] for name in results} for result in record["results"]],
    }


def show(record: dict[str, Any], store: Store) -> None:
    """The results as a table, and where the page is."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    data = record["lineage"]["data"]
    for task in dict.fromkeys(result["task"] for result in record["results"]):
        rivals = [result for result in record["results"] if result["task"] == task]
        console.print(_results(task, rivals, f"{data.get('title') or data['name']}: {task}"))
    ran = [stage for stage in record["stages"] if stage["state"] == "ran"]
    if not ran and record["status"] == "done":
        console.print("Nothing to do: every stage was done before and nothing it depends on has changed.")
    for stage in record["stages"]:
        if stage["state"] == "failed":
            console.print(
                f"failed: {stage['name']} {stage['family'] or ''}: {stage['error']}",
                style="red",
                markup=False,
            )
    shown = f"{store.url}/{record['report']}" if record["report"] else "none"
    console.print(
        f"{record['status']} in {record['seconds']:.0f} s; page: {shown}", markup=False, soft_wrap=True
    )


def _results(task: str, results: list[dict[str, Any]], title: str) -> Table:
    """The families of one task, which alone compete with each other; last, what real images score."""
    table = Table(title=title, box=None, pad_edge=False, title_justify="left")
    metrics = [m for m in METRICS.get(task, METRICS["other"]) if any(m in r["metrics"] for r in results)]
    for head in ("family", *metrics, "parameters", "training", "images/s"):
        told = head.replace("frechet_distance", "frechet").replace("r_", "").replace("_", " ")
        table.add_column(told, justify="left" if head == "family" else "right", no_wrap=True)
    for result in results:
        cells = [_number(result["metrics"].get(m, {}).get("value")) for m in metrics]
        seconds, speed = result["train_seconds"], result["samples_per_second"]
        table.add_row(
            result["family"], *cells, f"{result['parameters']:,}", f"{seconds:.0f} s", f"{speed:,.0f}"
        )
    floors = [next((r["metrics"][m]["floor"] for r in results if m in r["metrics"]), None) for m in metrics]
    table.add_row(TASKS[task].real, *map(_number, floors), style="dim")
    return table


def show_judged(judged: dict[str, Any]) -> None:
    """The numbers of a folder as a table, with what to beware of."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    title = (
        f"{judged['images']:,} images of {judged['source']} against {judged['data']}, {judged['split']} split"
    )
    table = Table(title=title, box=None, pad_edge=False, title_justify="left")
    for head in ("measure", "value", "95 % interval", "real images", "images", "seen by", "comparability"):
        table.add_column(head, justify="left" if head in ("measure", "seen by", "comparability") else "right")
    for name, metric in judged["metrics"].items():
        low, high, floor = metric["low"], metric["high"], metric["floor"]
        table.add_row(
            name.replace("_", " ") + (" *" if "note" in metric else ""),
            f"{metric['value']:.4g}",
            "-" if low is None else f"{low:.4g} to {high:.4g}",
            "-" if floor is None else f"{floor:.4g}",
            f"{metric['n']:,}",
            f"{metric['extractor']} {metric['extractor_hash'][:8]}" if metric["extractor"] else "-",
            metric["comparability"],
        )
    console.print(table)
    for name, metric in judged["metrics"].items():
        if "note" in metric:
            console.print(f"* {name.replace('_', ' ')}: {metric['note']}", style="yellow", markup=False)
    console.print(f"images were taken {judged['preparation']}", style="dim", markup=False)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
