"""Metrics as they are recorded."""

from __future__ import annotations

import math

import pytest

from components.records.evaluation import MetricResult, metrics_of


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_metric_is_a_number(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        MetricResult(value=value)


def test_metrics_that_cannot_be_read_are_left_out() -> None:
    values = {"kid": {"value": 0.5, "better": "sideways"}, "fid": {"value": None}, "lpips": 3}
    assert metrics_of(values) == {"kid": MetricResult(value=0.5)}
