"""Tables of the terminal: headings take several lines where it is narrow, and no value is cut."""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import replace

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table

FILE_WIDTH = 120  # of sentences; tables in a file are as wide as they need
GAP = 2  # spaces between columns


def output() -> Console:
    """Return the console for the results of a command."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else FILE_WIDTH)


def table(title: str = "", text: Sequence[str] = (), heads: Sequence[str] = ()) -> Table:
    """Return an empty table; columns of numbers, which are not in `text`, are justified to the right."""
    made = Table(title=title or None, box=None, pad_edge=False, title_justify="left")
    for head in heads:
        made.add_column(head, justify="left" if head in text else "right", vertical="bottom")
    return made


def print_table(console: Console, made: Table) -> None:
    """Print a table; one that is too wide for a terminal is cut into parts, each with the first column."""
    columns = made.columns
    if not console.is_terminal:
        console.width = max(console.width, total([natural(column) for column in columns]))
    narrow = total([natural(column) for column in columns]) > console.width
    widths = [folded(column) if narrow else natural(column) for column in columns]
    for number, part in enumerate(parts(widths, console.width)):
        if number:
            console.print()
        printed = copy.copy(made)
        printed.columns = [fixed(columns[i], widths[i], at, console.width) for at, i in enumerate(part)]
        printed.title = None if number else made.title
        console.print(printed)


def parts(widths: Sequence[int], most: int) -> list[list[int]]:
    """Return the columns of each part of a table: the first, and others up to a width of `most`."""
    columns = [[0]]
    for i in range(1, len(widths)):
        if len(columns[-1]) > 1 and total([widths[j] for j in (*columns[-1], i)]) > most:
            columns.append([0])
        columns[-1].append(i)
    return columns


def total(widths: Sequence[int]) -> int:
    """Return the width of columns side by side."""
    return sum(widths) + GAP * (len(widths) - 1)


def natural(column: Column) -> int:
    """Return the width of a column with its heading in one line."""
    return max(cell_len(str(column.header)), values(column))


def folded(column: Column) -> int:
    """Return the width of a column with as little of its heading in a line as the values and words allow."""
    return max(values(column), *(cell_len(word) for word in str(column.header).split() or [""]))


def values(column: Column) -> int:
    """Return the width of the widest value."""
    return max((cell_len(str(cell)) for cell in column.cells), default=0)


def fixed(column: Column, width: int, at: int, most: int) -> Column:
    """Return a column with its width at a place of a part; one wider than the terminal wraps at words."""
    return replace(column, width=min(width, most), overflow="fold", no_wrap=False, _index=at)
