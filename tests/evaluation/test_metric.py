"""One evaluated number and the warnings it needs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from components.evaluation.metric import with_notes
from components.records.evaluation import MetricResult

DIM = 8


def noted(name: str, n: int, **more: Any) -> str:
    extractor = SimpleNamespace(frechet_name="frechet_distance")
    ref: Any = SimpleNamespace(
        dim=DIM, extractor=extractor, info=SimpleNamespace(data=SimpleNamespace(labels=["a", "b"]))
    )
    return with_notes({name: MetricResult(value=1.0, **more)}, ref, n)[name].note or ""


def test_frechet_distances_of_few_images_are_mostly_bias() -> None:
    assert noted("frechet_distance", 9) == "mostly bias: 9 images for 8 features; rank by KID"
    assert noted("reconstruction_frechet_distance", 9).endswith("rank by reconstruction KID")
    assert noted("kid", 9) == noted("confident_rate", 9) == "" and noted("class_fid", 9) != ""
    assert noted("frechet_distance", 10_000) == ""


def test_of_a_mean_over_classes_the_images_of_a_class_count() -> None:
    enough = next(n for n in range(1, 10_000) if not noted("frechet_distance", n))
    assert noted("class_frechet_distance", enough, classes={"a": 1.0}).startswith("mostly bias")
    assert noted("class_frechet_distance", 2 * enough, classes={"a": 1.0}) == ""


def test_an_extrapolation_from_too_few_images_is_left_out() -> None:
    with pytest.raises(KeyError):
        noted("frechet_distance_infinity", 40)
    assert noted("frechet_distance_infinity", 10_000) == ""
