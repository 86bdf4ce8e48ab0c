"""The value by which the terminal calls a result the best; pages and champions follow stricter rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.common.errors import InputError
from components.common.ranking import ranking_metric
from components.evaluation.comparability import ranked
from components.records.evaluation import MetricResult, Metrics
from components.records.run import FamilyResult
from components.report.baselines import unlike_real


def ranking_value(metrics: Mapping[str, MetricResult]) -> tuple[str, MetricResult] | None:
    """Return the metric that ranks and its value, even one with a note; None if there is none that does."""
    name = ranking_metric([metrics])
    return (name, metrics[name]) if name else None


def best_first(results: Sequence[FamilyResult]) -> list[FamilyResult]:
    """Return the results of a task, the best first and those not near real images last.

    Results whose values do not compare stay in their order.
    """
    name = ranking_metric([result.metrics for result in results])
    values = {result.family: result.metrics[name] for result in results if name in result.metrics}
    try:
        order = list(ranked(values))
    except InputError:
        return list(results)
    place = {family: number for number, family in enumerate(order)}
    return sorted(results, key=lambda one: (bool(unlike_real(one)), place.get(one.family, len(place))))


def best_of(results: Mapping[str, Metrics]) -> str | None:
    """Return the owner of the best value; None if there is no value, or the values do not compare."""
    ranking = {owner: ranking_value(metrics) for owner, metrics in results.items()}
    values = {owner: value[1] for owner, value in ranking.items() if value}
    try:
        return next(iter(ranked(values)), None)
    except InputError:
        return None
