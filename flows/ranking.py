"""The value by which the terminal calls a result the best; pages and champions follow stricter rules."""

from __future__ import annotations

from collections.abc import Mapping

from components.common.errors import InputError
from components.common.ranking import ranking_metric
from components.evaluation.comparability import ranked
from components.records.evaluation import MetricResult, Metrics


def ranking_value(metrics: Mapping[str, MetricResult]) -> tuple[str, MetricResult] | None:
    """Return the metric that ranks and its value, even one with a note; None if there is none that does."""
    name = ranking_metric([metrics])
    return (name, metrics[name]) if name else None


def best_of(results: Mapping[str, Metrics]) -> str | None:
    """Return the owner of the best value; None if there is no value, or the values do not compare."""
    ranking = {owner: ranking_value(metrics) for owner, metrics in results.items()}
    values = {owner: value[1] for owner, value in ranking.items() if value}
    try:
        return next(iter(ranked(values)), None)
    except InputError:
        return None
