"""Spaces that are declared with a field."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, ValidationError

from models.search_space import Choice, Range, searchable, tunable


class Settings(BaseModel):
    lr: float = tunable(0.1, gt=0, low=0.01, high=1.0, log=True, source="a")
    kind: Literal["x", "y"] = tunable("x", source="b")
    on: bool = tunable(False, source="c")
    width: int = tunable(8, choices=(8, 16), source="d", recommended=32)
    plain: int = 3


class Narrower(Settings):
    lr: float = 0.5


def test_each_field_has_the_space_it_is_declared_with() -> None:
    spaces = searchable(Settings)
    assert spaces["lr"] == Range(low=0.01, high=1.0, scale="log", source="a")
    assert spaces["kind"] == Choice(("x", "y"), source="b") and spaces["on"] == Choice(
        (False, True), source="c"
    )
    assert spaces["width"] == Choice((8, 16), source="d", recommended=32) and "plain" not in spaces
    assert set(searchable(Narrower)) == {"kind", "on", "width"}


def test_a_space_changes_neither_defaults_nor_what_is_accepted() -> None:
    assert Settings(lr=5.0).lr == 5.0 and Settings().width == 8
    with pytest.raises(ValidationError):
        Settings(lr=0)


def test_values_lie_in_a_space_or_outside() -> None:
    spaces = searchable(Settings)
    assert 0.01 in spaces["lr"] and 1.0 in spaces["lr"] and 2 not in spaces["lr"] and "x" not in spaces["lr"]
    assert 16 in spaces["width"] and 12 not in spaces["width"]
