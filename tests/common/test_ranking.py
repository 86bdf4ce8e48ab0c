"""Which metric ranks families."""

from components.common.ranking import first_to_last, rank_by, ranking_metric
from components.records.evaluation import MetricResult


def test_the_frechet_distance_ranks_unless_it_comes_with_a_warning():
    fine, warned = MetricResult(value=1.0), MetricResult(value=1.0, note="few images")
    assert rank_by({"kid": fine, "fid": fine}) == "fid"
    assert rank_by({"kid": fine, "frechet_distance": fine}) == "frechet_distance"
    assert rank_by({"kid": fine, "frechet_distance": warned}) == "kid"
    assert (
        rank_by({"mse": fine, "reconstruction_kid": fine, "reconstruction_fid": warned})
        == "reconstruction_kid"
    )
    assert (
        rank_by({"mse": fine, "reconstruction_kid": fine, "reconstruction_frechet_distance": fine})
        == "reconstruction_frechet_distance"
    )
    assert rank_by({"mse": fine, "psnr": fine}) == "mse"


def test_a_metric_with_a_warning_ranks_only_where_all_have_one():
    fine, warned = MetricResult(value=1.0), MetricResult(value=1.0, note="the extractor tells no classes")
    assert rank_by({"fid": warned, "kid": warned}) == "kid"
    assert rank_by({"reconstruction_fid": warned, "reconstruction_kid": warned, "mse": fine}) == "mse"


def test_a_metric_that_is_doubtful_for_one_of_several_results_does_not_rank_them():
    fine, warned = MetricResult(value=1.0), MetricResult(value=1.0, note="few images")
    few, many = {"frechet_distance": warned, "kid": fine}, {"frechet_distance": fine, "kid": fine}
    assert ranking_metric([few, many]) == ranking_metric([many, few]) == "kid"
    assert ranking_metric([many, many]) == "frechet_distance"
    assert ranking_metric([]) == ranking_metric([{}]) == ranking_metric([{"precision": fine}]) == ""


def test_the_metric_that_ranks_is_shown_first_and_the_others_as_they_were():
    fine, warned = MetricResult(value=1.0), MetricResult(value=1.0, note="few images")
    metrics = {"frechet_distance": warned, "precision": fine, "kid": fine}
    assert first_to_last(metrics) == ["kid", "frechet_distance", "precision"]
    assert first_to_last({"recall": fine, "precision": fine}) == ["recall", "precision"]
