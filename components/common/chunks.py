"""The fixed size in which images are processed, and ranges of whole chunks."""

from __future__ import annotations

# Images drawn, and looked at by an extractor, at once: cut at fixed global positions, the last chunk padded.
CHUNK = 64


def ranges(n: int, size: int) -> list[tuple[int, int]]:
    """First position and length of consecutive ranges of `n`; `size` is a multiple of the chunk."""
    return [(start, min(size, n - start)) for start in range(0, n, size)]
