"""Numbers are ranked only where one recipe measured them, and a refusal says why."""

from __future__ import annotations

from typing import Any

import pytest

from components.common.errors import InputError
from components.evaluation import comparability
from components.evaluation.comparability import difference, ranked
from components.records.evaluation import MetricResult
from components.records.run import FamilyResult


def metric(value: float, better: str = "lower", **changes: Any) -> MetricResult:
    recipe = {
        "schema": 2,
        "metric": "kid",
        "extractor": "classifier",
        "extractor_hash": "aa",
        "data_set": "digits",
        "data": "d1",
        "split": "test",
        "n": 1000,
        "n_real": 1000,
        "seeds": "independent",
        **changes,
    }
    key = comparability.key(recipe)
    return MetricResult(value=value, better=better, recipe=recipe, comparability=key)


def test_one_recipe_may_be_compared() -> None:
    assert difference(metric(1.0), metric(2.0)) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 500}, "different number of images (500, not 1,000)"),
        ({"split": "validation"}, "different split (validation, not test)"),
        ({"extractor_hash": "bb"}, "different weights or preparation of the extractor"),
        ({"extractor": "rotation", "extractor_hash": "bb"}, "different extractor (rotation, not classifier)"),
        ({"data": "d2"}, "different version of the data"),
        ({"data": "d2", "data_set": "emoji"}, "different data set (emoji, not digits)"),
        ({"seeds": "as given"}, "different seeds (as given, not independent)"),
        ({"n": 500, "n_real": 500}, "(500, not 1,000); different number of real images (500, not 1,000)"),
        ({"pairs": "own targets"}, "different recipe"),
    ],
)
def test_a_difference_is_named(change: dict[str, Any], words: str) -> None:
    assert words in str(difference(metric(1.0, **change), metric(1.0)))


def test_older_records_without_a_recipe_are_told_apart_by_what_they_have() -> None:
    old = MetricResult(comparability="a", n=100, split="test", extractor="classifier", value=1.0)
    fewer, other = ({"comparability": "b", "n": 50}, {"comparability": "b"})
    assert "number of images (100, not 50)" in str(difference(old, old.model_copy(update=fewer)))
    reason = difference(old, old.model_copy(update=other))
    assert reason == "measured by a different recipe or against other data"


def test_an_older_record_beside_a_newer_one_is_told_apart_by_what_both_have() -> None:
    fields = {"n": 1000, "split": "test", "extractor": "classifier", "extractor_hash": "aa"}
    new = metric(1.0).model_copy(update=fields)
    old = new.model_copy(update={"recipe": {}, "comparability": "b", "n": 500})
    assert difference(old, new) == "different number of images (500, not 1,000)"


def test_ranking_is_by_value_and_direction() -> None:
    result = ranked({"a": metric(2.0), "b": metric(1.0), "c": metric(3.0)})
    assert result == ["b", "a", "c"]
    assert ranked({"a": metric(0.2, "higher"), "b": metric(0.9, "higher")}) == ["b", "a"]
    assert ranked({}) == []


def test_ranking_across_recipes_is_refused_with_the_reason() -> None:
    with pytest.raises(
        InputError, match=r"vae cannot be ranked with dcgan: different number of images \(500"
    ):
        ranked({"dcgan": metric(2.0), "vae": metric(1.0, n=500)})


def test_the_field_table_says_why_a_family_has_no_rank() -> None:
    from components.pipeline.compare import rank

    def result(family: str, **of: Any) -> FamilyResult:
        return FamilyResult(family=family, task="generate", metrics={"kid": metric(**of)})

    assert rank([result("a", value=2.0), result("b", value=1.0)]) == {"a": 2, "b": 1}
    refused = rank([result("a", value=2.0), result("b", value=1.0, n=9)])
    assert all("cannot be ranked" in str(reason) for reason in refused.values())
