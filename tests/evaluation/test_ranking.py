"""Which metric ranks families."""

from components.evaluation.ranking import rank_by
from components.records.evaluation import MetricResult


def test_the_frechet_distance_ranks_unless_it_comes_with_a_warning():
    fine, warned = MetricResult(value=1.0), MetricResult(value=1.0, note="few images")
    assert rank_by({"kid": fine, "fid": fine}) == "fid"
    assert rank_by({"kid": fine, "frechet_distance": fine}) == "frechet_distance"
    assert rank_by({"kid": fine, "frechet_distance": warned}) == "kid"
    assert rank_by({"mse": fine, "r_kid": fine, "rfid": warned}) == "r_kid"
    assert rank_by({"mse": fine, "r_kid": fine, "r_frechet_distance": fine}) == "r_frechet_distance"
    assert rank_by({"mse": fine, "psnr": fine}) == "mse"
