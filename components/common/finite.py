"""Finite numbers, since JSON has no NaN and no infinity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeGuard


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether `value` is a finite number; a bool is not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def as_number(value: Any) -> float | None:
    """Return `value` as a float; None if it is not a finite number."""
    return float(value) if is_number(value) else None


def finite(value: Any) -> Any:
    """Replace NaN and infinity in `value` by None, at any depth of mappings and lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    return [finite(inner) for inner in value] if isinstance(value, list | tuple) else value
