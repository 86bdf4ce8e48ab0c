"""Ranges of whole chunks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from components.common.chunks import CHUNK, equal_size, ranges


@given(st.integers(0, 10_000), st.integers(1, 8))
def test_ranges_cover_everything_once_in_whole_chunks(n: int, chunks: int) -> None:
    cut = ranges(n, chunks * CHUNK)
    assert [i for start, length in cut for i in range(start, start + length)] == list(range(n))
    assert all(start % CHUNK == 0 and 0 < length <= chunks * CHUNK for start, length in cut)


@given(st.integers(1, 10_000))
def test_chunks_of_equal_size_pad_by_less_than_an_image_each(n: int) -> None:
    size, chunks = equal_size(n), -(-n // CHUNK)
    assert size <= CHUNK and -(-n // size) == chunks and 0 <= size * chunks - n < chunks
