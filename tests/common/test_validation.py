"""The first mistake of a config as one sentence."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from components.common.validation import RENAMED, checked_name, explain
from components.config.evaluate import Evaluate
from components.config.experiment import Data
from components.config.sweep import Sweep
from components.config.train import Train
from models.diffusion_config import DiffusionConfig
from models.registry import FAMILIES


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    steps: int = Field(1, ge=1)

    @field_validator("steps")
    @classmethod
    def _even(cls, steps: int) -> int:
        if steps % 2:
            raise ValueError("Steps must be even")
        return steps


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: Inner
    name: str = "x"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"inner": {}, "nam": 1}, "unknown key top.nam (did you mean 'name'?); known here: inner, name"),
        ({"inner": {"step": 1}}, "unknown key top.inner.step (did you mean 'steps'?); known here: steps"),
        ({}, "top.inner is missing"),
        ({"inner": {"steps": 3}}, "top.inner.steps=3 is not accepted: steps must be even"),
        (
            {"inner": {"steps": 0}},
            "top.inner.steps=0 is not accepted: input should be greater than or equal to 1",
        ),
    ],
)
def test_the_first_mistake_is_named_with_its_place(content: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Outer(**content)
    assert explain(raised.value, "top", Outer) == sentence


@pytest.mark.parametrize(
    ("model", "key", "name"),
    [
        (Train, "shards", "micro_batches"),
        (Train, "clip", "clip_grad_norm"),
        (DiffusionConfig, "clip", "clip_denoised"),
        (Evaluate, "uses", "latent_analysis"),
        (Data, "flips", "horizontal_flip"),
    ],
)
def test_a_key_that_was_renamed_says_its_new_name(model: type[BaseModel], key: str, name: str) -> None:
    with pytest.raises(ValidationError) as raised:
        model(**{key: 1})
    assert explain(raised.value, "top", model) == f"unknown key top.{key}; it is now called {name}"


def test_new_names_of_keys_exist_and_old_ones_do_not() -> None:
    """A former key may still be a key of another section."""
    models = [Data, Train, Evaluate, Sweep, *(family.Config for family in FAMILIES.values())]
    sections = [set(model.model_fields) for model in models]
    for old, new in RENAMED.items():
        assert all(any(name in keys for keys in sections) for name in new), old
        assert not any(old in keys and keys & set(new) for keys in sections), old


@pytest.mark.parametrize("name", ["x.dvc", "x.", ".x", "X", "a/b", "", "a\n"])
def test_a_name_that_is_no_data_set_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no ending"):
        checked_name(name)
    with pytest.raises(ValidationError):
        Data(name=name)


@pytest.mark.parametrize("name", ["mnist5k", "a.b_c-1", "dvc", "x.dvc2"])
def test_the_name_of_a_data_set_is_accepted(name: str) -> None:
    assert Data(name=name).name == name


def test_a_long_value_is_shortened() -> None:
    with pytest.raises(ValidationError) as raised:
        Inner(steps="a" * 70_000)  # type: ignore[arg-type]
    sentence = explain(raised.value, "", Inner)
    assert len(sentence) < 700 and sentence.startswith("steps='aaa") and "a... is not accepted" in sentence
