from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.records.base import Number, Record

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


class Point(Record):
    step: int
    value: Number = None


class Course(Record):
    name: str = ""
    points: list[Point] = []
    by_class: dict[str, Point] = {}
    last: Point | None = None
    numbers: list[Number] = []


def test_what_does_not_fit_is_left_out() -> None:
    value = {
        "name": 3,
        "points": [{"step": 1, "value": 0.5}, {"step": "1"}, 3, {"step": 2, "value": "low"}],
        "by_class": {"a": {"step": 1}, "b": 3},
        "last": {"value": 1.0},
        "numbers": [1, "2", 2.5, None],
        "of a later version": 1,
    }
    assert Course.read(value) == Course(
        points=[Point(step=1, value=0.5), Point(step=2)],
        by_class={"a": Point(step=1)},
        numbers=[1.0, 2.5, None],
    )


@pytest.mark.parametrize("value", [None, [], "text", {}, {"step": None}, {"step": 1.5}])
def test_a_record_without_what_it_needs_is_none(value: object) -> None:
    assert Point.read(value) is None


def test_a_writer_is_checked() -> None:
    with pytest.raises(ValidationError):
        Point(step="1")  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Course(points=[Point(step=1), 3])  # type: ignore[list-item]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_cannot_express_are_none(value: float) -> None:
    assert Point(step=1, value=value).to_json() == {"step": 1, "value": None}


@given(value=JSON)
def test_reading_never_raises(value: Any) -> None:
    Course.read(value)
    Course.read({"points": [value], "by_class": {"a": value}, "last": value, "numbers": value, "name": value})


@given(course=st.builds(Course, points=st.lists(st.builds(Point, step=st.integers(), value=st.floats()))))
def test_what_is_written_is_read(course: Course) -> None:
    assert Course.read(course.to_json()) == course
