"""Durations and sizes in words."""

import pytest

from components.common.units import duration, size


@pytest.mark.parametrize(
    ("seconds", "words"), [(40.2, "40 seconds"), (210, "3.5 minutes"), (7560, "2.1 hours")]
)
def test_durations_are_rough(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_sizes_have_readable_units() -> None:
    assert [size(n) for n in (0, 999, 1500, 2_000_000_000, 5e12)] == [
        "0 B", "999 B", "1.5 kB", "2.0 GB", "5.0 TB",
    ]  # fmt: skip
