"""The name that was probably meant."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches


def did_you_mean(name: str, names: Collection[str]) -> str:
    """Return the known name nearest to a missing one, as the end of a clause; empty if none is near."""
    near = get_close_matches(name, names, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
