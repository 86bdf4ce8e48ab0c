"""Readable messages for pydantic's validation errors."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ValidationError


def explain(error: ValidationError, prefix: str, model: type[BaseModel]) -> str:
    """Describe the first error in one sentence.

    Args:
        error: of the validation of `model`.
        prefix: the configuration key of the model; empty at the top level.
        model: lists the accepted keys if one is unknown.
    """
    first = error.errors()[0]
    path = ".".join(str(part) for part in ((prefix,) if prefix else ()) + first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key {path}; known here: {', '.join(_fields(model, first['loc'][:-1]))}"
    if first["type"] == "missing":
        return f"{path} is missing"
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return f"{prefix}: {message}" if prefix else message
    return f"{path}={first['input']!r} is not accepted: {message[0].lower()}{message[1:]}"


def _fields(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    for part in path:
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        model = annotation
    return sorted(model.model_fields)
