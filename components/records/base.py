"""The base of every record: one class for each JSON object that crosses a process or a stage."""

from __future__ import annotations

from typing import Annotated, Any, Self, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic import ValidatorFunctionWrapHandler as Validate

from components.common.finite import finite

READING = {"reading": True}  # the context in which fields that do not fit are left out

Number = Annotated[float | None, BeforeValidator(finite)]  # JSON has no NaN and no infinity


class Record(BaseModel):
    """A JSON object. Its writer constructs it, which checks every field; its readers call `read`."""

    model_config = ConfigDict(strict=True, extra="ignore", protected_namespaces=(), defer_build=True)

    @classmethod
    def read(cls, value: object) -> Self | None:
        """Parse JSON that may be torn, or written by another version.

        A field that does not fit gets its default. An item of a list or an object that does not fit is left
        out.

        Returns:
            The record, or None if a field without a default is missing or does not fit.
        """
        try:
            return cls.model_validate(value, context=READING)
        except ValidationError:
            return None

    def to_json(self) -> dict[str, Any]:
        """Return the plain values; numbers that are not finite are None."""
        content: dict[str, Any] = finite(self.model_dump())
        return content

    @field_validator("*", mode="wrap")
    @classmethod
    def _leave_out(cls, value: Any, validate: Validate, info: ValidationInfo) -> Any:
        try:
            return validate(value)
        except ValidationError:
            field = cls.model_fields[info.field_name or ""]
            if info.context != READING:
                raise
            kind = get_origin(field.annotation)
            if kind is list and isinstance(value, list):
                return [item for one in value for item in _valid(validate, [one], [])]
            if kind is dict and isinstance(value, dict):
                return {
                    k: v for name, one in value.items() for k, v in _valid(validate, {name: one}, {}).items()
                }
            if field.is_required():
                raise
            return field.get_default(call_default_factory=True)


def _valid(validate: Validate, value: Any, otherwise: Any) -> Any:
    """The validated value, or `otherwise` if it does not fit."""
    try:
        return validate(value)
    except ValidationError:
        return otherwise


class StageResult(Record):
    """The value that the body of a stage returns: its part of result.json."""

    work_seconds: Number = None  # spent computing; None: all of the stage's seconds
    elsewhere: list[str] = []  # files of the result outside of its folder
