"""Where better hyperparameters may lie: ranges and choices, written beside what they are of.

    lr: Annotated[float, Range(1e-4, 4e-4, "log", source="Radford et al. 2016, Sec. 4: 2e-4")] = ...

They change nothing of what is trained and no key (components/stages); sweeps take them up. A field that
a subclass declares anew has the space that is declared with it, or none.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from pydantic import BaseModel

Scale = Literal["linear", "log"]


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both among it; of whole numbers where the field is."""

    low: float
    high: float
    scale: Scale = "linear"
    _: KW_ONLY
    source: str  # who recommends what, where
    recommended: float | None = None  # the source's own, perhaps outside; None: what the field has
    advises: bool = True  # whether the source gives a value at all
    sampling: bool = False  # nothing but sampling reads it, so it is searched on a trained model
    where: tuple[Any, ...] = ()  # a field and its values, without any of which nothing reads this one

    def __post_init__(self) -> None:
        assert self.low < self.high and (self.scale == "linear" or self.low > 0), self

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclass(frozen=True)
class Choice:
    """One of `values`."""

    values: tuple[Any, ...]
    _: KW_ONLY
    source: str
    recommended: Any = None
    advises: bool = True
    sampling: bool = False
    where: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        assert self.values, self

    def __contains__(self, value: object) -> bool:
        return value in self.values


Space = Range | Choice


def searchable(config: type[BaseModel]) -> dict[str, Space]:
    """The space beside each field of a config that has one."""
    found = {
        name: [space for space in field.metadata if isinstance(space, Range | Choice)]
        for name, field in config.model_fields.items()
    }
    return {name: spaces[0] for name, spaces in found.items() if spaces}
