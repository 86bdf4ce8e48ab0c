"""Metrics as they are recorded."""

from __future__ import annotations

import math

import pytest

from components.records.evaluation import ExternalEvaluation, MetricResult, metrics_of


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_metric_is_a_number(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        MetricResult(value=value)


def test_metrics_that_cannot_be_read_are_left_out() -> None:
    values = {"kid": {"value": 0.5, "better": "sideways"}, "fid": {"value": None}, "lpips": 3}
    assert metrics_of(values) == {"kid": MetricResult(value=0.5)}


def test_an_evaluation_is_shown_as_its_measures() -> None:
    metrics = {"frechet_distance": MetricResult(value=9.2), "kid": MetricResult(value=0.5, note="few images")}
    output = repr(
        ExternalEvaluation(
            source="others", images=88, data="d", version="v", split="test", preparation="as they are",
            labelled=False, metrics=metrics, skipped_files=[("a.png", "no image")] * 100,
        )
    )  # fmt: skip
    assert output == (
        "ExternalEvaluation(source='others', images=88, data='d', split='test', "
        "measures=['frechet_distance 9.2', 'kid 0.5 (few images)'], summary='', warnings=[])"
    )
    assert repr(MetricResult(value=1.0, low=0.5, recipe={"n": 8})) == "MetricResult(value=1.0, low=0.5)"
