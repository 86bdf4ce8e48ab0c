"""Format numbers, durations and dates for the pages, in the same way as base.js."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

from components.common import units

NONE = "–"


def number(value: Any, digits: int = 3) -> str:
    """Return `value` with `digits` significant digits, large numbers with separators."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NONE if value is None else str(value)
    if not math.isfinite(value):
        return "not finite"
    size = abs(value)
    if isinstance(value, int) or size >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    if size and size < 1e-5:
        return f"{value:.1e}"
    places = digits - 1 - (math.floor(math.log10(size)) if size else 0)
    return f"{value:.{max(places, 0)}f}"


def short(value: Any) -> str:
    """Return a number without trailing zeros."""
    text = number(value)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def count(value: Any) -> str:
    """Return a count in short form: 1.2 M, 34 k, 560."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return NONE
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{number(value / (1e3 if unit == 'k' else size))} {unit}"
    return f"{value:,.0f}"


def duration(seconds: Any) -> str:
    """Return seconds in readable units: 0.4 s, 93 s, 6 min 52 s, 3 h 05 min."""
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return NONE
    if seconds < 99.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{math.floor(seconds + 0.5)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours / 24:.1f} days"


def size(count: Any) -> str:
    """Return bytes in readable units: 560 B, 34.1 kB, 1.2 GB."""
    if not isinstance(count, int | float) or not math.isfinite(count):
        return NONE
    return units.size(count)


def moment(iso: Any) -> str:
    """Return an ISO 8601 time as `22 November 2026, 10:15 UTC`; other text is returned unchanged.

    A time without a zone is one in UTC.
    """
    try:
        when = datetime.fromisoformat(str(iso))
    except ValueError:
        return NONE if iso is None else str(iso)
    when = when.astimezone(UTC) if when.tzinfo else when
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def listing(names: list[str], word: str = "and") -> str:
    """Return names as `a`, `a and b` or `a, b and c`, or with another word than `and`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}" if names else ""


def slug(name: str) -> str:
    """Return `name` as part of a file name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:60] or "unnamed"
