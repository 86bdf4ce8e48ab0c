"""The search space of a hyperparameter, declared on the line of the hyperparameter itself.

    lr: float = tunable(2e-4, gt=0, low=1e-4, high=4e-4, log=True, source="Radford et al. 2016, Sec. 4")

Sweeps search the space. It does not affect training and enters no key (components/stages). A field that a
subclass redeclares has the space of the new declaration, or none.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, Field

Scale = Literal["linear", "log"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class _Shared:
    """Fields that ranges and choices share; see `tunable`."""

    source: str
    recommended: Any = None
    advises: bool = True
    sampling: bool = False
    active_if: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Range(_Shared):
    """All numbers from `low` to `high`, both included; whole numbers for an integer field."""

    low: float
    high: float
    scale: Scale = "linear"

    def __post_init__(self) -> None:
        assert self.low < self.high and (self.scale == "linear" or self.low > 0), self

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclass(frozen=True)
class Choice(_Shared):
    """One of `values`."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        assert self.values, self

    def __contains__(self, value: object) -> bool:
        return value in self.values


Space = Range | Choice


@dataclass(frozen=True)
class _AllValues(_Shared):
    """A choice of all values of the field's type, a Literal or a bool."""

    def of(self, annotation: Any) -> Choice:
        return Choice((False, True) if annotation is bool else get_args(annotation), **vars(self))


def tunable(
    default: T,
    *,
    low: float | None = None,
    high: float | None = None,
    log: bool = False,
    choices: Sequence[T] = (),
    source: str,
    recommended: T | None = None,
    advises: bool = True,
    sampling: bool = False,
    active_if: tuple[Any, ...] = (),
    **constraints: Any,
) -> T:
    """Return a pydantic field that carries the space in which sweeps search it.

    Args:
        default: Default value of the field.
        low: Smallest value of a range.
        high: Largest value of a range.
        log: Whether the range is searched on a logarithmic scale.
        choices: Values to choose from, instead of a range. Without both, all values of the field's type.
        source: The source of the recommended value.
        recommended: The recommended value, possibly outside the space; None: the default.
        advises: Whether the source recommends a value at all.
        sampling: Whether only sampling reads the field, so that it is searched on a trained model.
        active_if: Name of another field, followed by its values with which this field has an effect.
        **constraints: Constraints on valid values, such as `gt` and `min_length`, for pydantic's Field.
    """
    assert (low is None) == (high is None) and not (choices and low is not None), source
    shared: dict[str, Any] = {"source": source, "recommended": recommended, "advises": advises}
    shared |= {"sampling": sampling, "active_if": active_if}
    space: Space | _AllValues = _AllValues(**shared)
    if choices:
        space = Choice(tuple(choices), **shared)
    elif low is not None and high is not None:
        space = Range(low, high, "log" if log else "linear", **shared)
    field = Field(default, **constraints)
    field.metadata.append(space)
    return field


# The arguments of `tunable` that describe the search. They do not change the meaning of a config.
SEARCH_ARGUMENTS = frozenset(
    name
    for name, parameter in inspect.signature(tunable).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
)


def searchable(config: type[BaseModel]) -> dict[str, Space]:
    """Return the search spaces of a config's tunable fields by name."""
    return {
        name: space.of(field.annotation) if isinstance(space, _AllValues) else space
        for name, field in config.model_fields.items()
        for space in field.metadata
        if isinstance(space, Range | Choice | _AllValues)
    }
