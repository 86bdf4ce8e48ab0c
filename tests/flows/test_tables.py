"""Tables of the terminal at several widths."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from flows.tables import print_table, table

HEADS = (
    "family",
    "frechet",
    "conditional accuracy",
    "memorization rate",
    "parameters",
    "training",
    "images/s",
)
ROWS = [
    ("diffusion", "0.5581", "0.986", "0.006", "633,380", "164 s", "92"),
    ("latent_diffusion", "-0.003531", "0.985", "0.0125", "1,633,380", "1,064 s", "5,388"),
]


def printed(width: int, *, terminal: bool = True) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None)
    made = table("title", ["family"], HEADS)
    for row in ROWS:
        made.add_row(*row)
    print_table(console, made)
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [30, 60, 80, 100, 120])
def test_neither_values_nor_words_of_headings_are_cut(width: int) -> None:
    lines = printed(width)
    words = " ".join(lines).split()
    assert "…" not in "".join(lines) and max(map(len, lines)) <= width
    for text in [word for head in HEADS for word in head.split()] + [
        value for row in ROWS for value in row[1:]
    ]:
        assert all(word in words for word in text.split()), text
    assert words.count("title") == 1


def test_headings_take_two_lines_before_a_table_is_cut_into_parts() -> None:
    assert len(printed(120)) == 4 and len(printed(90)) == 5
    lines = printed(60)
    assert [line.split()[0] for line in lines if line.startswith("latent")] == ["latent_diffusion"] * 2
    assert [line.split() for line in lines if line.startswith("diffusion")][1][0] == "diffusion"


def test_a_table_in_a_file_is_as_wide_as_it_needs() -> None:
    lines = printed(40, terminal=False)
    assert len(lines) == 4 and "conditional accuracy" in lines[1]
