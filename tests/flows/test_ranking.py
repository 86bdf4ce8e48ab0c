"""The result that the terminal calls the best."""

from __future__ import annotations

from components.records.evaluation import MetricResult
from flows.ranking import best_of, ranking_value


def test_a_value_with_a_note_ranks_only_where_there_is_no_other() -> None:
    doubtful, sure = MetricResult(value=9.2, note="mostly bias"), MetricResult(value=0.12)
    assert ranking_value({"frechet_distance": doubtful, "kid": sure}) == ("kid", sure)
    noted = MetricResult(value=0.12, note="few images")
    assert ranking_value({"frechet_distance": doubtful, "kid": noted}) == ("kid", noted)
    assert ranking_value({"precision": sure}) is None and ranking_value({}) is None


def test_the_best_is_the_lowest_of_values_that_compare() -> None:
    def kid(value: float, comparability: str = "a") -> dict[str, MetricResult]:
        return {"kid": MetricResult(value=value, comparability=comparability)}

    assert best_of({"dcgan": kid(0.3), "diffusion": kid(0.1), "autoencoder": {}}) == "diffusion"
    assert best_of({"dcgan": kid(0.3), "diffusion": kid(0.1, "b")}) is None
    assert best_of({}) is None
