"""The list of runs in a store: what they are, where they stand, their best results and their costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.common.ranking import ranking_metric
from components.records.gate import PENDING
from components.records.run import RunManifest, RunSummary, StageEntry
from components.registry.champions import pending
from components.registry.runs import read_record
from components.store import Store

COLUMNS = (
    "run", "status", "data", "version", "families", "best", "seconds", "worker-hours", "cost", "page",
    "waits for a decision",
)  # fmt: skip


def matching(
    store: Store,
    status: str | None = None,
    data: str | None = None,
    family: str | None = None,
    kind: str | None = None,
    most: int | None = None,
) -> list[RunSummary]:
    """Return the runs that fit, newest first; one that cannot be read has the status `unreadable`.

    Args:
        store: the store of the runs.
        status: the status, or `lost`.
        data: the name of the data set, or the beginning of its version.
        family: a family of the run.
        kind: run or sweep.
        most: the largest number of runs.
    """
    summaries: list[RunSummary] = []
    for run_id in reversed(store.list("runs")):
        if most is not None and len(summaries) >= most:
            break
        run = _summary(store, run_id)
        if run is None or (kind and run.kind != kind) or (status and run.standing != status):
            continue
        version = run.lineage.data.version or ""
        if data and data != run.lineage.data.name and not version.startswith(data):
            continue
        if family is None or family in run.families:
            summaries.append(run)
    return summaries


def _summary(store: Store, run_id: str) -> RunSummary | None:
    """Return the record of a run, `unreadable` if it cannot be read; None for another file or folder."""
    run = read_record(store, run_id, RunSummary)
    if run is None and store.exists(f"runs/{run_id}/run.json"):
        return RunSummary(run_id=run_id, status="unreadable")
    return run


def rows(store: Store, runs: Sequence[RunSummary]) -> list[tuple[str, ...]]:
    """Return the cells of the list, as `COLUMNS`."""
    waits = [(judgement.model.run_id, judgement.model.family) for judgement in pending(store)]
    return [
        (
            run.run_id,
            run.standing,
            run.lineage.data.name,
            (run.lineage.data.version or "-")[:10],
            ", ".join(run.lineage.families),
            best(run) or "-",
            f"{run.seconds or 0:.0f}",
            f"{worker_hours(run):.2f}",
            cost(run) or "-",
            run.report or "-",
            ", ".join(f"{PENDING} {family}" for run_id, family in waits if run_id == run.run_id) or "-",
        )
        for run in runs
    ]


def as_json(store: Store, run: RunSummary) -> Mapping[str, Any]:
    """Return the manifest of a run with its standing, best result, worker-hours and cost."""
    manifest = read_record(store, run.run_id, RunManifest)
    content = (manifest or run).to_json()
    hours = round(worker_hours(run), 4)
    return content | {"standing": run.standing, "best": best(run), "worker_hours": hours, "cost": cost(run)}


def best(run: RunSummary) -> str | None:
    """Return the best result as family, metric and value, those near real images first; None without any."""
    if not run.results:
        return None
    from components.report.baselines import unlike_real  # imports NumPy
    from components.report.metric_labels import measure

    ranked = []
    for result in run.results:
        name = ranking_metric([other.metrics for other in run.results if other.task == result.task])
        if metric := result.metrics.get(name):
            unlike = " (not near real images)" if unlike_real(result) else ""
            note = f" ({metric.note})" if metric.note else ""
            definition = measure(name, metric)
            text = f"{result.family} {definition.label} {definition.show(metric.value)}{note}{unlike}"
            ranked.append((unlike, metric.value, text))
    return min(ranked)[-1] if ranked else None


def worker_hours(run: RunSummary) -> float:
    """Return the hours that workers spent on the stages which this run computed, so not on cached ones.

    A training counts once for each of its workers, of which [LEAST, MOST] may have been fewer than counted; a
    search counts as one worker.
    """
    return sum((stage.seconds or 0.0) * _workers(run, stage) for stage in run.stages) / 3600


def _workers(run: RunSummary, stage: StageEntry) -> int:
    """Return the workers of a stage: those of `train.workers` for a training, else one."""
    if stage.name != "train":
        return 1
    common, families = run.lineage.config.get("train"), run.lineage.families
    own = families.get(stage.family or "")
    number = 1
    for block in (common, own.get("train") if isinstance(own, dict) else None):
        match block.get("workers") if isinstance(block, dict) else None:
            case int(workers) | [_, int(workers)]:
                number = workers
    return max(1, number)  # 0: in the process of the job


def cost(run: RunSummary) -> str | None:
    """Return the price of the worker-hours by the run's own section `price`; None if it states none."""
    price = run.lineage.config.get("price")
    if (
        not isinstance(price, dict)
        or not isinstance(hour := price.get("worker_hour"), int | float)
        or not hour
    ):
        return None
    return f"{worker_hours(run) * hour:.2f} {price.get('currency', '')}".strip()
