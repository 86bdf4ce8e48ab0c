"""The first mistake of a config as one sentence."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from components.common.validation import explain


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
        ({"inner": {}, "nam": 1}, "unknown key top.nam; known here: inner, name"),
        ({"inner": {"step": 1}}, "unknown key top.inner.step; known here: steps"),
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
