"""Load experiments from YAML files and apply `--set` of the command line."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from components.common.errors import InputError
from components.common.plain_yaml import NOT_YAML, read_yaml
from components.common.suggestions import did_you_mean
from components.common.validation import explain
from components.config.experiment import Experiment
from components.config.train import Train


def text_settings(section: type[BaseModel], at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the paths of the settings of a section that are text, or lists of it."""
    for name, field in section.model_fields.items():
        for kind in kinds(field.annotation):
            if kind is str:
                yield (*at, name)
            elif isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from text_settings(kind, (*at, name))


def kinds(annotation: Any) -> Iterator[Any]:
    """Yield the types in an annotation, without those of mappings and literals."""
    origin = get_origin(annotation)
    if origin is None:
        yield annotation
    elif origin is not Literal and not issubclass(origin if isinstance(origin, type) else object, Mapping):
        for part in get_args(annotation):
            yield from kinds(part)


TEXTS = frozenset(text_settings(Experiment))


def load(path: Path, changes: Sequence[str] = ()) -> Experiment:
    """Load the experiment in a YAML file and apply changes such as `a.b=c`.

    Raises:
        InputError: the file is missing or not YAML, a key is unknown, or a value is not accepted.
    """
    try:
        content = read_yaml(path.read_text("utf-8"), TEXTS)
    except FileNotFoundError:
        raise InputError(f"there is no config file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    except NOT_YAML as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", error)).split())
        raise InputError(f"{path}{line} is not valid YAML: {problem}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} must contain settings such as `families:`, not {type(content).__name__}")
    for change in changes:
        check_family(content, change, path)
        content = changed(content, change)
    return parse(content, str(path))


def check_family(content: Mapping[str, Any], change: str, path: Path) -> None:
    """Raise InputError if a change is for a family that the config lacks; `families.vae={}` adds one."""
    parts = change.partition("=")[0].strip().split(".")
    families = content.get("families")
    if (
        parts[0] == "families"
        and len(parts) > 2
        and isinstance(families, Mapping)
        and parts[1] not in families
    ):
        raise InputError(f"--set {'.'.join(parts)}: {not_in(parts[1], families, path)}")


def not_in(family: str, families: Collection[str], path: Path) -> str:
    """Return a sentence about a family that a config lacks."""
    near = did_you_mean(family, families)
    names, addition = ", ".join(families), f"--set families.{family}={{}}"
    return f"{family} is not in {path}{near}, which has: {names}; {addition} adds it"


def overridden(experiment: Experiment, changes: Sequence[str], only: Collection[str] = ()) -> list[str]:
    """Return a sentence for each change of a training setting for all families that some of them override."""
    sentences = []
    for change in changes:
        path = change.partition("=")[0].strip()
        section, _, key = path.partition(".")
        families = [
            family
            for family, block in experiment.families.items()
            if family in (only or experiment.families) and key in block.get("train", {})
        ]
        if section == "train" and families:
            name = families[0]
            sentences.append(
                f"--set {change} has no effect on {', '.join(families)}: the config sets {path} for each; "
                f"use --set families.{name}.{path}={change.partition('=')[2]}"
            )
    return sentences


def parse(content: Mapping[str, Any], source: str) -> Experiment:
    """Validate plain data from `source`; errors name the key, the value and what is accepted."""
    try:
        experiment = Experiment.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{source}: {explain(error, '', Experiment)}") from None
    try:
        Train(**experiment.train)
    except ValidationError as error:
        raise InputError(explain(error, "train", Train)) from None
    for family, block in experiment.families.items():
        try:
            experiment.training(family)
        except ValidationError as error:
            key = error.errors()[0]["loc"][:1]
            in_block = not key or key[0] in block.get("train", {})
            prefix = f"families.{family}.train" if in_block else "train"
            raise InputError(explain(error, prefix, Train)) from None
    return experiment


def changed(content: Mapping[str, Any], change: str) -> Mapping[str, Any]:
    """Return `content` with one change `a.b=c` applied; c is read as YAML, or as text where a.b is text."""
    path, equals, text = change.partition("=")
    parts = path.strip().split(".")
    if not equals or not all(parts):
        raise InputError(f"--set {change!r} is not of the form key.subkey=value")
    try:
        value = read_yaml(text, TEXTS, tuple(parts))
    except NOT_YAML:
        value = text
    if isinstance(value, str) and tuple(parts) not in TEXTS:
        with contextlib.suppress(ValueError):  # YAML 1.1 reads 2e-4 as text; quoted, it stays text
            value = float(text)
    return _put(content, parts, value, path)


def _put(content: Any, parts: Sequence[str], value: Any, path: str) -> Mapping[str, Any]:
    if content is None:
        content = {}
    if not isinstance(content, Mapping):
        raise InputError(f"--set {path}: a plain value has no subkeys")
    head, *rest = parts
    return {**content, head: _put(content.get(head), rest, value, path) if rest else value}
