"""Where better hyperparameters may lie: declared in one line with the hyperparameter itself.

    lr: float = tunable(2e-4, gt=0, low=1e-4, high=4e-4, log=True, source="Radford et al. 2016, Sec. 4")

A space changes nothing of what is trained and enters no key (components/stages); sweeps search it. A field
that a subclass declares anew has the space that is declared with it, or none.
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
class _About:
    """What a range and a choice have in common."""

    source: str  # who recommends what, and where
    recommended: Any = None  # the source's value, perhaps outside the space; None: the field's default
    advises: bool = True  # whether the source recommends a value at all
    sampling: bool = False  # only sampling reads the field, so it is searched on a trained model
    active_if: tuple[Any, ...] = ()  # another field and the values of it with which this field has an effect


@dataclass(frozen=True)
class Range(_About):
    """All numbers from `low` to `high`, both included; whole numbers where the field is an integer."""

    low: float
    high: float
    scale: Scale = "linear"

    def __post_init__(self) -> None:
        assert self.low < self.high and (self.scale == "linear" or self.low > 0), self

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclass(frozen=True)
class Choice(_About):
    """One of `values`."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        assert self.values, self

    def __contains__(self, value: object) -> bool:
        return value in self.values


Space = Range | Choice


@dataclass(frozen=True)
class _Every(_About):
    """A choice of all values that the field's type has: of a Literal, or of a bool."""

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
    """Declares a field of a config together with the space in which sweeps search it.

    Args:
        default: the field's value unless a config says otherwise.
        low: smallest value of a range.
        high: largest value of a range.
        log: whether the range is searched on a logarithmic scale.
        choices: values to choose from, instead of a range; without both, all that the field's type has.
        source: who recommends which value, and where.
        recommended: the value that the source recommends, perhaps outside the space; None: the default.
        advises: whether the source recommends a value at all.
        sampling: whether only sampling reads the field, so that it is searched on a trained model.
        active_if: name of another field, then the values of it with which this field has an effect.
        **constraints: of valid values, such as `gt` and `min_length`, as pydantic's Field takes them.

    Returns:
        A pydantic field.
    """
    assert (low is None) == (high is None) and not (choices and low is not None), source
    about: dict[str, Any] = {"source": source, "recommended": recommended, "advises": advises}
    about |= {"sampling": sampling, "active_if": active_if}
    space: Space | _Every = _Every(**about)
    if choices:
        space = Choice(tuple(choices), **about)
    elif low is not None and high is not None:
        space = Range(low, high, "log" if log else "linear", **about)
    field = Field(default, **constraints)
    field.metadata.append(space)
    return field


# The arguments of `tunable` that describe the search. They do not change what a config means.
SEARCH_ARGUMENTS = frozenset(
    name for name, each in inspect.signature(tunable).parameters.items() if each.kind is each.KEYWORD_ONLY
)


def searchable(config: type[BaseModel]) -> dict[str, Space]:
    """The space of each field of a config that is declared with one, by the field's name."""
    return {
        name: part.of(field.annotation) if isinstance(part, _Every) else part
        for name, field in config.model_fields.items()
        for part in field.metadata
        if isinstance(part, Range | Choice | _Every)
    }
