"""The chunk size in which images are processed, and ranges of chunks."""

from __future__ import annotations

# Images sampled, or passed to an extractor, at once. Chunks start at fixed positions; the last one is padded.
CHUNK = 64


def ranges(n: int, size: int) -> list[tuple[int, int]]:
    """Split `n` images into consecutive ranges (start, length); `size` is a multiple of CHUNK."""
    return [(start, min(size, n - start)) for start in range(0, n, size)]


def equal_size(n: int) -> int:
    """Return the size of the fewest chunks of equal size that hold `n` images, with the least padding."""
    return -(-n // -(-n // CHUNK))
