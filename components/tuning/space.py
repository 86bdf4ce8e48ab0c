"""The search space of a sweep: hyperparameters by name, each with its possible values.

A sweep names hyperparameters and uses their declared spaces (models/search_space.py), or gives others. Names
are those of a family's settings, and `train.NAME` for those of its training.
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
from models.registry import FAMILIES
from models.search_space import Choice, Range, Space, searchable
from models.step_counts import step_counts

TRAIN = "train."
# Settings of training that all trials share, so that they are comparable.
COMMON = {
    TRAIN + name for name in ("steps", "num_snapshots", "snapshot_samples", "seed", "torch_threads", "smoke")
}
COMMON |= {TRAIN + name for name in ("setting_changes", "ema_sigma_rel", "health")}


@dataclass(frozen=True)
class Hyperparameter:
    """A searched hyperparameter."""

    name: str
    space: Space  # its `recommended` is the source's; None if the source gives none
    integer: bool
    default: Any  # its value if it is not searched

    @property
    def sampling(self) -> bool:
        """Whether only sampling reads it, so that trials share a trained model."""
        return self.space.sampling

    def described(self) -> SearchedHyperparameter:
        """Return its record; the values are plain JSON."""
        kind = "choice" if isinstance(self.space, Choice) else "range"
        fields = {"name": self.name, "kind": kind, "integer": self.integer, "default": self.default}
        return SearchedHyperparameter(**json.loads(json.dumps(fields | vars(self.space))))


def hyperparameters(family: str) -> dict[str, Hyperparameter]:
    """Return all hyperparameters of a family that are declared with a range or a choice.

    Raises:
        InputError: no such family.
    """
    base = _Base.of(family, {})
    return {name: base.hyperparameter(name, space) for name, space in base.declared.items()}


def resolve(
    family: str, search: Mapping[str, Any], block: Mapping[str, Any] | None = None
) -> dict[str, Hyperparameter]:
    """Return the hyperparameters that a sweep searches.

    Args:
        family: the searched family.
        search: spaces by name: None for the declared one, a list of values, or low, high and perhaps scale.
        block: settings of the family and, under `train`, of its training; those searched are replaced.

    Returns:
        By name, in the order of `search`, with values as the settings hold them (a list as a tuple).

    Raises:
        InputError: an unknown family, setting or hyperparameter, a missing or empty range, a value that is
            not accepted by itself nor together with one of another hyperparameter, a hyperparameter without
            effect, or a mixture of sampling and training hyperparameters.
    """
    base = _Base.of(family, block or {})
    if not isinstance(search, Mapping) or not search:
        raise InputError(f"search must name hyperparameters of {family}, such as {', '.join(base.declared)}")
    spaces = {str(name): _space_of(base, str(name), request) for name, request in search.items()}
    searched = {name: base.hyperparameter(name, space) for name, space in spaces.items()}
    _check_one_kind(searched)
    searched = _validated(base, searched)
    for hyperparameter in searched.values():
        _check_active(base, hyperparameter, searched)
    return searched


def grid_size(hyperparameters: Sequence[Hyperparameter], points: int) -> int:
    """Return the number of combinations of all choices and of `points` values of each range."""

    def size(h: Hyperparameter) -> int:
        if isinstance(h.space, Choice):
            return len(h.space.values)
        return min(points, int(h.space.high - h.space.low) + 1) if h.integer else points

    return math.prod(map(size, hyperparameters))


def applied(block: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a family's settings with values applied; "train.batch" goes to block["train"]["batch"]."""
    train = {name.removeprefix(TRAIN): value for name, value in values.items() if name.startswith(TRAIN)}
    changed = {**block, **{name: value for name, value in values.items() if not name.startswith(TRAIN)}}
    if train:
        changed["train"] = {**block.get("train", {}), **train}
    return changed


def reduced(family: str, block: Mapping[str, Any], share: float) -> dict[str, Any]:
    """Return a family's settings for a training with this share of the steps.

    Settings that count steps, such as those of a warm-up, are reduced accordingly. So a sweep's short trials
    are alike the training with all steps in which the winner is confirmed.
    """

    def of(values: Mapping[str, Any], config: type[BaseModel]) -> dict[str, Any]:
        counts = step_counts(config)
        return {k: max(1, round(v * share)) if k in counts and v else v for k, v in values.items()}

    changed = of(block, FAMILIES[family].Config)
    return changed | ({"train": of(block["train"], Train)} if "train" in block else {})


@dataclass(frozen=True)
class _Base:
    """A family with the settings that are not searched."""

    family: str
    config: type[BaseModel]
    block: Mapping[str, Any]
    declared: Mapping[str, Space]  # spaces by hyperparameter
    defaults: tuple[BaseModel, Train]  # the settings of the block

    @classmethod
    def of(cls, family: str, block: Mapping[str, Any]) -> _Base:
        """Return a family with its block; raise InputError if the family or a setting is not accepted."""
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
        """Return the field of a setting; raise InputError if it is unknown or does not affect the weights."""
        if name in COMMON:
            raise InputError(f"search.{name} cannot be searched: all trials share it")
        fields = {TRAIN + n: f for n, f in Train.model_fields.items() if n not in NOT_SEMANTIC}
        fields |= self.config.model_fields
        if name not in fields:
            if new := renamed(name, fields):
                raise InputError(f"search.{name} is now called {new}")
            raise InputError(
                f"search.{name}: {self.family} has no such hyperparameter; searchable: "
                f"{', '.join(self.declared)}, and any other of its settings if values are given"
            )
        return fields[name]

    def hyperparameter(self, name: str, space: Space) -> Hyperparameter:
        """Return the hyperparameter of a valid name, with this space."""
        field = self.field(name)
        if space.recommended is None and space.advises:
            space = replace(space, recommended=field.get_default(call_default_factory=True))
        return Hyperparameter(name, space, int in _types(field.annotation), _value(self.defaults, name))

    def read(self, values: Values) -> Values:
        """Return the values as the settings hold them; raise ValidationError if they are not accepted."""
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
    """Return the types of a value: int and None for int | None; a Literal counts as no number."""
    if get_origin(annotation) in (Union, types.UnionType):
        return {kind for part in get_args(annotation) for kind in _types(part)}
    return {annotation}


# The requested spaces.


def _space_of(base: _Base, name: str, request: Any) -> Space:
    """Return the space of a hyperparameter: the declared one, or the one given instead."""
    field, declared = base.field(name), base.declared.get(name)
    if request is None:
        if declared is None:
            raise InputError(f"search.{name}: no range is declared with it; {GIVE}")
        return declared
    attributes: dict[str, Any] = {
        "source": declared.source if declared else "given, not recommended",
        "recommended": declared.recommended if declared else None,
        "advises": declared is not None and declared.advises,
        "sampling": declared.sampling if declared else False,
        "active_if": declared.active_if if declared else (),
    }
    if isinstance(request, Mapping):
        return _range(name, request, field, declared, attributes)
    if not isinstance(request, Sequence) or isinstance(request, str):
        raise InputError(f"search.{name}={request!r} is not a search space; {GIVE}")
    if not request:
        raise InputError(f"search.{name}: the list is empty; {GIVE}")
    return Choice(tuple(request), **attributes)


GIVE = "give a list of values, or low and high (and scale: log), or leave it empty for the declared range"


def _range(
    name: str,
    request: Mapping[str, Any],
    field: FieldInfo,
    declared: Space | None,
    attributes: Mapping[str, Any],
) -> Range:
    if not {"low", "high"} <= set(request) <= {"low", "high", "scale"}:
        raise InputError(
            f"search.{name}: a range has low, high and perhaps scale; this has {', '.join(map(str, request))}"
        )
    kinds = _types(field.annotation)
    steps = [m.multiple_of for m in field.metadata if getattr(m, "multiple_of", None)]
    if not kinds & {int, float} or steps:
        accepted = f"multiples of {steps[0]}" if steps else "certain values"
        raise InputError(
            f"search.{name} takes only {accepted}, not any value of a range; give a list of values"
        )
    low, high = (_number(name, end, request[end], int in kinds) for end in ("low", "high"))
    scale = request.get("scale", declared.scale if isinstance(declared, Range) else "linear")
    if scale not in ("linear", "log"):
        raise InputError(f"search.{name}.scale={scale!r} is not accepted: it is linear or log")
    if low >= high:
        raise InputError(f"search.{name}: the range is empty: low={low:g} is not below high={high:g}")
    if scale == "log" and low <= 0:
        raise InputError(f"search.{name}: on a log scale low must be above 0; it is {low:g}")
    return Range(low, high, scale, **attributes)


def _number(name: str, end: str, value: Any, integer: bool) -> float:
    """Return an end of a range as a number; YAML 1.1 reads 1e-4 as text."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or (integer and number != int(number)):
        kind = "a whole number" if integer else "a number"
        raise InputError(f"search.{name}.{end}={value!r} is not accepted: it must be {kind}")
    return int(number) if integer else number


def _check_one_kind(searched: Mapping[str, Hyperparameter]) -> None:
    """Raise InputError if sampling and training hyperparameters are searched together."""
    sampling = [name for name, hyperparameter in searched.items() if hyperparameter.sampling]
    training = [name for name in searched if name not in sampling]
    if sampling and training:
        raise InputError(
            f"search: {', '.join(sampling)} can be searched on a trained model, but {', '.join(training)} "
            "cannot; search them in two sweeps"
        )


def _check_active(
    base: _Base, hyperparameter: Hyperparameter, searched: Mapping[str, Hyperparameter]
) -> None:
    """Raise InputError if a hyperparameter has no effect under the other settings."""
    if not hyperparameter.space.active_if:
        return
    other, *values = hyperparameter.space.active_if
    current = [_value(base.defaults, other)] if other not in searched else ends(searched[other].space)
    if not any(value in current for value in values):
        raise InputError(
            f"search.{hyperparameter.name} has no effect: it needs {other}={_any_of(values)}, but {other} "
            f"is {_any_of(current)}; set or search {other} too"
        )


def _any_of(values: Iterable[Any]) -> str:
    """Return values as text, joined by "or"."""
    return " or ".join(map(str, values))


# Validation by the settings.


def _validated(base: _Base, searched: Mapping[str, Hyperparameter]) -> dict[str, Hyperparameter]:
    """Return the hyperparameters with every value as the settings hold it."""
    candidates = {name: ends(hyperparameter.space) for name, hyperparameter in searched.items()}
    values = {
        name: tuple(_validate(base, name, v, candidates) for v in candidates[name]) for name in searched
    }
    return {
        name: replace(hyperparameter, space=replace(hyperparameter.space, values=values[name]))
        if isinstance(hyperparameter.space, Choice)
        else hyperparameter
        for name, hyperparameter in searched.items()
    }


def ends(space: Space) -> tuple[Any, ...]:
    """Return the values of a space to validate: all of a choice, both ends of a range."""
    return space.values if isinstance(space, Choice) else (space.low, space.high)


def _validate(base: _Base, name: str, value: Any, candidates: Mapping[str, Sequence[Any]]) -> Any:
    """Return a value as the settings hold it: accepted by itself, or with a value of one other."""
    first_error: ValidationError | None = None
    for others in _partner_values(name, candidates):
        try:
            return base.read({**others, name: value})[name]
        except ValidationError as error:
            first_error = first_error or error
            if first_error.errors()[0]["loc"]:  # the value itself is refused, with any partner
                break
    assert first_error is not None
    message = first_error.errors()[0]["msg"].removeprefix("Value error, ")
    raise InputError(f"search.{name}={value!r} is not accepted: {message[0].lower()}{message[1:]}")


def _partner_values(name: str, candidates: Mapping[str, Sequence[Any]]) -> Iterator[Values]:
    """Yield no partner, then each value of each other hyperparameter."""
    yield {}
    for other in candidates.keys() - {name}:
        yield from ({other: value} for value in candidates[other])


def full_schedule(block: Mapping[str, Any], winner: Winner, trial_steps: int) -> Mapping[str, Any]:
    """Return the winner's settings with all training steps; its schedule is stretched accordingly."""
    first, *later = winner.schedule or [ScheduleEntry(values=winner.values)]
    settings = applied(block, first.values)
    steps = settings["train"]["steps"]
    setting_changes = [
        {"step": max(1, round(entry.step * steps / trial_steps)), "change": dict(entry.values)}
        for entry in later
    ]
    return settings | {"train": settings["train"] | {"setting_changes": setting_changes}}
