"""What is written as JSON has finite numbers only."""

from __future__ import annotations

import math
from types import MappingProxyType

import pytest

from components.common.finite import as_number, finite, is_number


def test_nan_and_infinity_become_null_at_any_depth() -> None:
    value = {"a": math.nan, "b": [1.5, (math.inf, "x")], "c": MappingProxyType({"d": -math.inf}), "e": True}
    assert finite(value) == {"a": None, "b": [1.5, [None, "x"]], "c": {"d": None}, "e": True}


@pytest.mark.parametrize("value", [None, "1", True, math.nan, math.inf, [1]])
def test_no_number(value: object) -> None:
    assert not is_number(value) and as_number(value) is None


@pytest.mark.parametrize("value", [0, -3, 2.5])
def test_a_number(value: float) -> None:
    assert is_number(value) and as_number(value) == value and isinstance(as_number(value), float)
