"""Make names from users safe to store and print. Pages must still escape them."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

# They reorder text.
DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean(name: str) -> str:
    """Replace control characters, line breaks and undecodable bytes by U+FFFD."""
    return "".join("\ufffd" if is_control(c) else c for c in name)


def is_control(character: str) -> bool:
    """Return whether a character could break a line, a terminal or an encoder."""
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in DIRECTIONS


def displayed(path: str | Path) -> str:
    """Return a path for messages: clean, and shortened to 183 characters if it is longer than 200."""
    text = clean(str(path))
    return text if len(text) <= 200 else f"{text[:120]}...{text[-60:]}"


def first_of(names: Sequence[str], most: int) -> str:
    """Return the first names, at most `most` of them, and how many there are more."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
