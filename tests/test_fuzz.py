"""Damaged files, always the same few; `benchmarks/fuzz.py` reads thousands."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import fuzz

GUARD = fuzz.Guard()
QUICK = [make for make in fuzz.TARGETS if make is not fuzz.pages]  # to draw what is on pages takes long


@pytest.mark.parametrize("make", QUICK)
def test_damaged_files_are_read_or_refused_in_one_sentence(make: Callable[[Path], fuzz.Target]) -> None:
    outcome = fuzz.fuzz(make, 20, 0, math.inf, GUARD)
    assert outcome.inputs == 20 and not outcome.failures, "\n".join(outcome.failures)


def test_the_guard_notices_what_leaves_its_folder(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    inside.mkdir()
    with GUARD.watching(inside) as escapes:
        (inside / "a").write_text("a")
        assert not escapes
        outside.write_text("b")
    assert len(escapes) == 1 and "outside" in escapes[0]
