"""The first mistake that pydantic finds, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ValidationError


def explain(error: ValidationError, prefix: str, model: type[BaseModel]) -> str:
    """The first mistake in one sentence."""
    first = error.errors()[0]
    path = ".".join(str(part) for part in ((prefix,) if prefix else ()) + first["loc"])
    if first["type"] == "extra_forbidden":
        known = _fields(model, first["loc"][:-1])
        return f"unknown key {path}; known here: {', '.join(known)}"
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
