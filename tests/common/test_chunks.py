"""Ranges of whole chunks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from components.common.chunks import CHUNK, ranges


@given(st.integers(0, 10_000), st.integers(1, 8))
def test_ranges_cover_everything_once_in_whole_chunks(n: int, chunks: int) -> None:
    cut = ranges(n, chunks * CHUNK)
    assert [i for start, length in cut for i in range(start, start + length)] == list(range(n))
    assert all(start % CHUNK == 0 and 0 < length <= chunks * CHUNK for start, length in cut)
