"""How numbers, durations and dates are written on the pages; base.js writes its own in the same way."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any

NONE = "–"


def number(value: Any, digits: int = 3) -> str:
    """`value` to so many significant digits, large ones with separators."""
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
    """A number without the zeros that only align it with others."""
    shown = number(value)
    return shown.rstrip("0").rstrip(".") if "." in shown and "e" not in shown else shown


def count(value: Any) -> str:
    """A count in short form: 1.2 M, 34 k, 560."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return NONE
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{number(value / (1e3 if unit == 'k' else size))} {unit}"
    return f"{value:,.0f}"


def duration(seconds: Any) -> str:
    """Seconds as a person says them: 0.4 s, 93 s, 6 min 52 s, 3 h 05 min."""
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return NONE
    if seconds < 99.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{math.floor(seconds + 0.5)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours / 24:.1f} days"


def moment(iso: Any) -> str:
    """An ISO 8601 time as `22 November 2026, 10:15 UTC`; what cannot be read stays as it is."""
    try:
        when = datetime.fromisoformat(str(iso))
    except ValueError:
        return NONE if iso is None else str(iso)
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def listing(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def slug(name: str) -> str:
    """`name` as a piece of a file name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:60] or "unnamed"
