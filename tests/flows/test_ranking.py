"""The result that the terminal calls the best."""

from __future__ import annotations

from components.records.evaluation import MetricResult
from components.records.run import FamilyResult
from flows.ranking import best_first, best_of, ranking_value


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


def test_results_are_shown_best_first_and_those_not_near_real_images_last() -> None:
    def result(family: str, value: float, recall: float, comparability: str = "a") -> FamilyResult:
        metrics = {
            "kid": MetricResult(value=value, comparability=comparability),
            "recall": MetricResult(value=recall, real_baseline=0.8, better="higher"),
        }
        return FamilyResult(family=family, task="generate", metrics=metrics)

    def order(*results: FamilyResult) -> list[str]:
        return [one.family for one in best_first(results)]

    noise, worse, better = result("noise", 0.1, 0.0), result("dcgan", 0.3, 0.7), result("vae", 0.2, 0.7)
    assert order(noise, worse, better) == ["vae", "dcgan", "noise"]
    assert order(worse, result("vae", 0.2, 0.7, "b")) == ["dcgan", "vae"], "values that do not compare"
