"""YAML of plain values: a small text cannot ask for much memory."""

from __future__ import annotations

import pytest

from components.common.plain_yaml import NOT_YAML, read_yaml
from tests import limited

LISTS = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
MERGES = "".join(f"a{i}: &a{i}\n  <<: [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
BOMBS = {
    "aliases": "a0: &a0 [1]\n" + LISTS,
    "merges": "a0: &a0 {k: 1}\n" + MERGES,
    "itself": "a: &a [*a]",
    "nesting": "[" * 100_000,
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_small_text_of_many_values_is_refused_within_little_memory(text: str) -> None:
    with pytest.raises(NOT_YAML), limited.memory():
        read_yaml(text)


def test_aliases_and_merges_of_ordinary_size_are_read() -> None:
    assert read_yaml("a: &a {x: 1, y: [2]}\nb: *a\nc: {<<: *a, x: 3}")["c"] == {"x": 3, "y": [2]}
    assert read_yaml("") is None
