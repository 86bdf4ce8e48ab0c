"""Experiments from YAML files and `--set` on the command line."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from components.common.errors import InputError
from components.common.validation import explain
from components.config.experiment import Experiment
from components.config.train import Train

# Beside its own errors PyYAML raises others, for a date such as 2024-13-45 or for tags.
NOT_YAML = (yaml.YAMLError, ValueError, AttributeError, IndexError)


def load(path: Path, changes: Sequence[str] = ()) -> Experiment:
    """The experiment in a YAML file, with `a.b=c` changes applied.

    Raises:
        InputError: the file is missing or not YAML, a key is unknown, or a value is not accepted.
    """
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no config file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    except NOT_YAML as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise InputError(f"{path}{line} is not valid YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold settings such as `families:`; it holds {type(content).__name__}")
    for change in changes:
        content = changed(content, change)
    return parse(content, str(path))


def parse(content: Mapping[str, Any], where: str) -> Experiment:
    """The experiment in plain data; errors name the key, the value and what is accepted."""
    try:
        experiment = Experiment.model_validate(content)
        _section(Train, "train", experiment.train)
        for family in experiment.families:
            _typed(Train, f"families.{family}.train", experiment, family)
    except ValidationError as error:
        raise InputError(f"{where}: {explain(error, '', Experiment)}") from None
    return experiment


def _section(model: type[Train], where: str, content: Mapping[str, Any]) -> None:
    try:
        model(**content)
    except ValidationError as error:
        raise InputError(explain(error, where, model)) from None


def _typed(section: type[Train], where: str, experiment: Experiment, family: str) -> None:
    try:
        experiment.training(family)
    except ValidationError as error:
        own = experiment.families[family].get("train", {})
        known = error.errors()[0]["loc"][:1]
        prefix = where if not known or known[0] in own else "train"
        raise InputError(explain(error, prefix, section)) from None


def changed(content: Mapping[str, Any], change: str) -> dict[str, Any]:
    """`content` with one `a.b=c` applied; c is read as YAML."""
    path, equals, text = change.partition("=")
    parts = path.strip().split(".")
    if not equals or not all(parts):
        raise InputError(f"--set {change!r} is not of the form key.subkey=value")
    try:
        value = yaml.safe_load(text)
    except NOT_YAML:
        value = text
    if isinstance(value, str):
        with contextlib.suppress(ValueError):  # YAML 1.1 takes 2e-4 for a word; in quotes it is one
            value = float(text)
    return _put(content, parts, value, path)


def _put(content: Any, parts: Sequence[str], value: Any, path: str) -> dict[str, Any]:
    if content is None:
        content = {}
    if not isinstance(content, Mapping):
        raise InputError(f"--set {path}: there is nothing below a plain value")
    head, *rest = parts
    return {**content, head: _put(content.get(head), rest, value, path) if rest else value}
