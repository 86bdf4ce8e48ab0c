"""The table of families: who is ranked."""

from __future__ import annotations

from components.pipeline.compare import rank
from components.records.evaluation import MetricResult
from components.records.run import FamilyResult


def result(family: str, value: float, note: str | None = None) -> FamilyResult:
    return FamilyResult(family=family, task="generate", metrics={"kid": MetricResult(value=value, note=note)})


def test_families_are_ranked_by_a_reliable_metric_only() -> None:
    assert rank([result("a", 2.0), result("b", 1.0)]) == {"b": 1, "a": 2}
    note = "meaningless: the extractor cannot tell the classes"
    assert rank([result("a", 2.0, note), result("b", 1.0, note)]) == {"a": note, "b": note}
