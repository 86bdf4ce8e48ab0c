"""The search space of a sweep: hyperparameters by name, each with the values it may take.

A sweep names them and takes the range declared with a hyperparameter (models/search_space.py), or gives
another. Names are those of a family's settings, and `train.NAME` for those of its training.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from components.common.errors import InputError
from components.common.validation import explain, renamed
from components.config.train import NOT_SEMANTIC, Train
from components.records.sweep import SearchedHyperparameter, Winner
from components.records.trial import ScheduleEntry, Values
from models.search_space import Choice, Range, Space, searchable

TRAIN = "train."
# Of training, what makes trials comparable.
COMMON = {
    TRAIN + name for name in ("steps", "num_snapshots", "snapshot_samples", "seed", "torch_threads", "smoke")
}
COMMON |= {TRAIN + name for name in ("setting_changes", "ema_sigma_rel", "health")}


@dataclass(frozen=True)
class Hyperparameter:
    """One that is searched."""

    name: str
    space: Space  # whose `recommended` is the source's, None where it gives none
    integer: bool
    default: Any  # its value where it is not searched

    @property
    def sampling(self) -> bool:
        """Whether nothing but sampling reads it, so that a trained model is searched."""
        return self.space.sampling

    def described(self) -> SearchedHyperparameter:
        """The record of it; its values are plain JSON."""
        kind = "choice" if isinstance(self.space, Choice) else "range"
        about = {"name": self.name, "kind": kind, "integer": self.integer, "default": self.default}
        return SearchedHyperparameter(**json.loads(json.dumps(about | vars(self.space))))


def hyperparameters(family: str) -> dict[str, Hyperparameter]:
    """All that are declared with a range or a choice.

    Raises:
        InputError: no such family.
    """
    base = _Base.of(family, {})
    return {name: base.hyperparameter(name, space) for name, space in base.declared.items()}


def resolve(
    family: str, search: Mapping[str, Any], block: Mapping[str, Any] | None = None
) -> dict[str, Hyperparameter]:
    """The hyperparameters that a sweep searches.

    Args:
        family: whose hyperparameters are searched.
        search: by name: None for the declared space, a list of values, or low, high and perhaps scale.
        block: what is not searched: the family's settings and, under `train`, all of its training.

    Returns:
        By name, in the order of `search`, with values as the settings hold them (a list as a tuple).

    Raises:
        InputError: an unknown family, block or hyperparameter, no range, an empty one, a value that is not
            accepted by itself nor together with one of another hyperparameter, one that nothing would read,
            or what only sampling reads beside what training reads.
    """
    base = _Base.of(family, block or {})
    if not isinstance(search, Mapping) or not search:
        raise InputError(f"search must name hyperparameters of {family}, such as {', '.join(base.declared)}")
    asked = {str(name): _asked(base, str(name), wanted) for name, wanted in search.items()}
    searched = {name: base.hyperparameter(name, space) for name, space in asked.items()}
    _check_one_kind(searched)
    searched = _validated(base, searched)
    for hyperparameter in searched.values():
        _check_active(base, hyperparameter, searched)
    return searched


def grid_size(hyperparameters: Sequence[Hyperparameter], points: int) -> int:
    """The combinations of all choices and of so many points of each range."""

    def size(h: Hyperparameter) -> int:
        if isinstance(h.space, Choice):
            return len(h.space.values)
        return min(points, int(h.space.high - h.space.low) + 1) if h.integer else points

    return math.prod(map(size, hyperparameters))


def applied(block: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A family's block with values in their places; "train.batch" goes to block["train"]["batch"]."""
    train = {name.removeprefix(TRAIN): value for name, value in values.items() if name.startswith(TRAIN)}
    whole = {**block, **{name: value for name, value in values.items() if not name.startswith(TRAIN)}}
    if train:
        whole["train"] = {**block.get("train", {}), **train}
    return whole


@dataclass(frozen=True)
class _Base:
    """A family and what of it is not searched."""

    family: str
    config: type[BaseModel]
    block: Mapping[str, Any]
    declared: Mapping[str, Space]  # with the hyperparameters
    defaults: tuple[BaseModel, Train]  # with the block

    @classmethod
    def of(cls, family: str, block: Mapping[str, Any]) -> _Base:
        """Raises InputError where there is no such family, or it does not accept the block."""
        from models.registry import FAMILIES

        if family not in FAMILIES:
            raise InputError(f"unknown family {family!r}; known: {', '.join(FAMILIES)}")
        config = FAMILIES[family].Config
        declared = searchable(config) | {TRAIN + name: space for name, space in searchable(Train).items()}
        try:
            return cls(family, config, block, declared, _built(config, block))
        except ValidationError as error:
            section, suffix = (Train, ".train") if error.title == Train.__name__ else (config, "")
            raise InputError(explain(error, f"families.{family}{suffix}", section)) from None

    def field(self, name: str) -> FieldInfo:
        """Raises InputError where there is no such setting, or it does not shape the weights."""
        if name in COMMON:
            raise InputError(f"search.{name} cannot be searched: all trials have it in common")
        fields = {TRAIN + n: f for n, f in Train.model_fields.items() if n not in NOT_SEMANTIC}
        fields |= self.config.model_fields
        if name not in fields:
            if new := renamed(name, fields):
                raise InputError(f"search.{name} is now called {new}")
            raise InputError(
                f"search.{name}: {self.family} has no such hyperparameter; searchable: "
                f"{', '.join(self.declared)}, and with values given any other of its settings"
            )
        return fields[name]

    def hyperparameter(self, name: str, space: Space) -> Hyperparameter:
        """The hyperparameter of that name, which there is."""
        field = self.field(name)
        if space.recommended is None and space.advises:
            space = replace(space, recommended=field.get_default(call_default_factory=True))
        return Hyperparameter(name, space, int in _types(field.annotation), _value(self.defaults, name))

    def read(self, values: Values) -> Values:
        """The values as the settings hold them. Raises ValidationError where they do not accept them."""
        built = _built(self.config, applied(self.block, values))
        return {name: _value(built, name) for name in values}


def _built(config: type[BaseModel], block: Mapping[str, Any]) -> tuple[BaseModel, Train]:
    settings = {name: value for name, value in block.items() if name != "train"}
    return config(**settings), Train(**block.get("train", {}))


def _value(built: tuple[BaseModel, Train], name: str) -> Any:
    config, train = built
    if name.startswith(TRAIN):
        return getattr(train, name.removeprefix(TRAIN))
    return getattr(config, name)


def _types(annotation: Any) -> set[Any]:
    """What a value may be: of int | None, int and None; of a Literal, nothing that could be a number."""
    if get_origin(annotation) in (Union, types.UnionType):
        return {kind for part in get_args(annotation) for kind in _types(part)}
    return {annotation}


# What is asked for.


def _asked(base: _Base, name: str, wanted: Any) -> Space:
    """The space of a hyperparameter: the declared one, or the one given in its place."""
    field, declared = base.field(name), base.declared.get(name)
    if wanted is None:
        if declared is None:
            raise InputError(f"search.{name}: there is no range beside it; {GIVE}")
        return declared
    about: dict[str, Any] = {
        "source": declared.source if declared else "given, not recommended",
        "recommended": declared.recommended if declared else None,
        "advises": declared is not None and declared.advises,
        "sampling": declared.sampling if declared else False,
        "active_if": declared.active_if if declared else (),
    }
    if isinstance(wanted, Mapping):
        return _range(name, wanted, field, declared, about)
    if not isinstance(wanted, Sequence) or isinstance(wanted, str):
        raise InputError(f"search.{name}={wanted!r} does not say where to search; {GIVE}")
    if not wanted:
        raise InputError(f"search.{name}: the list is empty; {GIVE}")
    return Choice(tuple(wanted), **about)


GIVE = "give a list of values, or low and high (and scale: log), or leave it empty for the range beside it"


def _range(
    name: str, wanted: Mapping[str, Any], field: FieldInfo, declared: Space | None, about: Mapping[str, Any]
) -> Range:
    if not {"low", "high"} <= set(wanted) <= {"low", "high", "scale"}:
        raise InputError(
            f"search.{name}: a range has low, high and perhaps scale; this has {', '.join(map(str, wanted))}"
        )
    kinds = _types(field.annotation)
    steps = [m.multiple_of for m in field.metadata if getattr(m, "multiple_of", None)]
    if not kinds & {int, float} or steps:
        which = f"multiples of {steps[0]}" if steps else "certain values"
        raise InputError(f"search.{name} takes {which} alone, not all of a range; give a list of values")
    low, high = (_number(name, end, wanted[end], int in kinds) for end in ("low", "high"))
    scale = wanted.get("scale", declared.scale if isinstance(declared, Range) else "linear")
    if scale not in ("linear", "log"):
        raise InputError(f"search.{name}.scale={scale!r} is not accepted: it is linear or log")
    if low >= high:
        raise InputError(f"search.{name}: the range is empty, for low={low:g} is not below high={high:g}")
    if scale == "log" and low <= 0:
        raise InputError(f"search.{name}: on a log scale low must be above 0; it is {low:g}")
    return Range(low, high, scale, **about)


def _number(name: str, end: str, value: Any, whole: bool) -> float:
    """YAML 1.1 takes 1e-4 for a word."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or (whole and number != int(number)):
        kind = "a whole number" if whole else "a number"
        raise InputError(f"search.{name}.{end}={value!r} is not accepted: it is to be {kind}")
    return int(number) if whole else number


def _check_one_kind(searched: Mapping[str, Hyperparameter]) -> None:
    """Raises InputError if some are read by sampling alone and others in training."""
    sampling = [name for name, hyperparameter in searched.items() if hyperparameter.sampling]
    training = [name for name in searched if name not in sampling]
    if sampling and training:
        raise InputError(
            f"search: {', '.join(sampling)} can be searched on a trained model, and {', '.join(training)} "
            "cannot; search them in two sweeps"
        )


def _check_active(
    base: _Base, hyperparameter: Hyperparameter, searched: Mapping[str, Hyperparameter]
) -> None:
    """Raises InputError if the other settings leave a hyperparameter without effect."""
    if not hyperparameter.space.active_if:
        return
    other, *values = hyperparameter.space.active_if
    now = [_value(base.defaults, other)] if other not in searched else ends(searched[other].space)
    if not any(value in now for value in values):
        raise InputError(
            f"search.{hyperparameter.name} has no effect: it is for {other}={_any_of(values)}, and {other} "
            f"is {_any_of(now)}; set or search {other} too"
        )


def _any_of(values: Iterable[Any]) -> str:
    """Values as a sentence names them."""
    return " or ".join(map(str, values))


# Whether the settings accept it.


def _validated(base: _Base, searched: Mapping[str, Hyperparameter]) -> dict[str, Hyperparameter]:
    """The same, with every value as the settings hold it."""
    tried = {name: ends(hyperparameter.space) for name, hyperparameter in searched.items()}
    values = {name: tuple(_validate(base, name, v, tried) for v in tried[name]) for name in searched}
    return {
        name: replace(hyperparameter, space=replace(hyperparameter.space, values=values[name]))
        if isinstance(hyperparameter.space, Choice)
        else hyperparameter
        for name, hyperparameter in searched.items()
    }


def ends(space: Space) -> tuple[Any, ...]:
    """The values of a space to validate: all of a choice, both ends of a range."""
    return space.values if isinstance(space, Choice) else (space.low, space.high)


def _validate(base: _Base, name: str, value: Any, tried: Mapping[str, Sequence[Any]]) -> Any:
    """A value as the settings hold it: by itself, or with one of another hyperparameter that it needs."""
    refused: ValidationError | None = None
    for others in _partner_values(name, tried):
        try:
            return base.read({**others, name: value})[name]
        except ValidationError as error:
            refused = refused or error
            if refused.errors()[0]["loc"]:  # the value itself, whatever its partner
                break
    assert refused is not None
    message = refused.errors()[0]["msg"].removeprefix("Value error, ")
    raise InputError(f"search.{name}={value!r} is not accepted: {message[0].lower()}{message[1:]}")


def _partner_values(name: str, tried: Mapping[str, Sequence[Any]]) -> Iterator[Values]:
    """No partner, then each value of each other hyperparameter."""
    yield {}
    for other in tried.keys() - {name}:
        yield from ({other: value} for value in tried[other])


def full_schedule(block: Mapping[str, Any], winner: Winner, trial_steps: int) -> Mapping[str, Any]:
    """The winner's settings with all training steps; a schedule is stretched to them."""
    first, *later = winner.schedule or [ScheduleEntry(values=winner.values)]
    whole = applied(block, first.values)
    steps = whole["train"]["steps"]
    setting_changes = [
        {"step": max(1, round(entry.step * steps / trial_steps)), "change": dict(entry.values)}
        for entry in later
    ]
    return whole | {"train": whole["train"] | {"setting_changes": setting_changes}}
