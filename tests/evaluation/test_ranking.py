"""Which metric ranks families."""

from components.evaluation.ranking import rank_by
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
