"""Values of trainings that differ only in their seed, from which the variance between seeds is estimated.

    <root>/registry/<data set>/<task>/seeds/<training>/<evaluation>.json

<training> identifies a training without its seed; <evaluation> is the key of an evaluation of one of them.
"""

from __future__ import annotations

from functools import partial

from components.records.base import Record
from components.records.evaluation import MetricResult, Metrics
from components.store import Store
from components.store.errors import unless_torn


class SeedResult(Record):
    """The metrics of a training with one seed."""

    seed: int
    run_id: str
    metrics: Metrics = {}


def record(
    store: Store, data_set: str, task: str, training: str, evaluation: str, result: SeedResult
) -> None:
    """Store the metrics of a training."""
    _folder(store, data_set, task, training).write_json(f"{evaluation}.json", result.to_json())


def values(
    store: Store, data_set: str, task: str, training: str | None, metric: str, like: MetricResult
) -> list[float]:
    """Return the metric's value for each seed, of evaluations by the same protocol as `like`."""
    if training is None:
        return []
    folder, of_seed = _folder(store, data_set, task, training), dict[int, float]()
    for name in folder.list():
        result = SeedResult.read(unless_torn(partial(folder.read_json, name)))
        of_metric = result.metrics.get(metric) if result else None
        if result and of_metric and of_metric.comparability == like.comparability:
            of_seed[result.seed] = of_metric.value
    return list(of_seed.values())


def _folder(store: Store, data_set: str, task: str, training: str) -> Store:
    return store.child("registry", data_set, task, "seeds", training)
