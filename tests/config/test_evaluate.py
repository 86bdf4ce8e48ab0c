"""The section `evaluate`."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from components.config.evaluate import Custom, Evaluate

CUSTOM = {"name": "mine", "network": "a:B", "weights": "w", "sha256": "0" * 64, "dim": 2, "resize": 8}


@pytest.mark.parametrize(
    ("classes", "held_out"),
    [("all", "all"), (3, ("3",)), ([3, "seven"], ("3", "seven")), ((), ()), ("cat", ("cat",))],
)
def test_held_out_classes_may_be_one_or_several_names_or_numbers(classes: Any, held_out: Any) -> None:
    assert Evaluate(held_out_classes=classes).held_out_classes == held_out


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"held_out_classes": [True]}, "names of classes"),
        ({"held_out_classes": {"a": 1}}, "names of classes"),
        ({"ablation_samples": 7}, "ablation_samples=7 is too few"),
        ({"held_out_classes": [3], "latent_analysis": False}, "held_out_classes"),
        ({"extractor": "custom"}, "needs a section custom"),
        ({"custom": CUSTOM}, "needs a section custom"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Evaluate(**settings)


def test_a_custom_extractor_is_a_network_or_torchscript() -> None:
    assert Custom(**CUSTOM).network == "a:B"
    assert Custom(**CUSTOM | {"network": None, "torchscript": True}).torchscript
    for both_or_neither in ({"torchscript": True}, {"network": None}):
        with pytest.raises(ValidationError, match="either a network"):
            Custom(**CUSTOM | both_or_neither)
