"""Options of `atelier sample` that need no model."""

from __future__ import annotations

import pytest

from components.common.errors import InputError
from components.data.text.package import DIM, identity
from components.sampling.request import SampleOptions, class_number, prompted
from models.data_spec import DataSpec

CARD = DataSpec(1, 8, 3)


def test_only_settings_that_are_asked_for_change() -> None:
    assert SampleOptions().settings == {}
    assert SampleOptions(steps=0, guidance_scale=1.5).settings == {
        "sampler_steps": ("--steps", 0),
        "guidance_scale": ("--guidance-scale", 1.5),
    }


def test_a_class_has_a_name_or_a_number_and_names_come_first() -> None:
    assert class_number("2", None, CARD) == 2 and class_number("b", ["a", "b", "c"], CARD) == 1
    assert class_number("2", ["2", "1", "0"], CARD) == 0
    for label, names, expected in (
        *(("3", None, "0 to 2"), ("x", ["a", "b"], "a, b"), ("-1", None, "0 to 2")),
        ("0", ["1", "2", "3"], "1, 2, 3"),  # not the first class, which is called 1
    ):
        with pytest.raises(InputError, match=f"unknown class; known: {expected}"):
            class_number(label, names, CARD)


def test_without_prompts_there_is_no_caption() -> None:
    tokens, mask = prompted((), 3, identity())[[0, 1, 2]].tensors()
    assert tokens.shape[0] == 3 and tokens.shape[-1] == DIM and not mask.any()


def test_captions_of_another_encoder_are_refused() -> None:
    with pytest.raises(
        InputError, match="trained with the text encoder other, and this version of Atelier has another"
    ):
        prompted(("a seven",), 1, identity().model_copy(update={"name": "other"}))
