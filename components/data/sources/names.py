"""Names that others chose, made safe to store and print. Escaping is left to the pages that show them."""

import unicodedata

DIRECTIONS = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)  # reorder what is read


def clean(name: str) -> str:
    """`name` with U+FFFD for control characters, line breaks and bytes that are no text."""
    return "".join("\ufffd" if is_control(c) else c for c in name)


def is_control(character: str) -> bool:
    """Whether it could break a line, a terminal or an encoder."""
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in DIRECTIONS


def shown(path: str) -> str:
    """A path for people: clean and not endless."""
    path = clean(path)
    return path if len(path) <= 200 else f"{path[:120]}...{path[-60:]}"
