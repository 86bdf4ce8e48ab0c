"""Progress reaches those who watch in the same thread, and nobody else."""

from __future__ import annotations

from components.common import progress
from components.common.progress import advance, counting, report, reported, watched_by


def test_reports_reach_the_innermost_watcher_and_nobody_afterwards() -> None:
    outer, inner = list[tuple[int, int, str]](), list[tuple[int, int, str]]()
    report(1, 2, "read")  # nobody watches
    with watched_by(lambda *done: outer.append(done)):
        report(1, 2, "read")
        with watched_by(lambda *done: inner.append(done)):
            assert list(reported(["a", "b"], "draw")) == ["a", "b"]
        report(2, 2, "read")
    report(2, 2, "read")
    assert outer == [(1, 2, "read"), (2, 2, "read")]
    assert inner == [(0, 2, "draw"), (1, 2, "draw"), (2, 2, "draw")]


def test_parts_that_do_not_know_one_another_are_counted_up_to_the_total() -> None:
    calls = list[tuple[int, int, str]]()
    with watched_by(lambda *done: calls.append(done)):
        advance(64)  # nobody counts
        with counting(100, "draw"):
            for n in (0, 64, 64):
                advance(n)
    assert calls == [(0, 100, "draw"), (64, 100, "draw"), (100, 100, "draw")]
    assert progress._count.get() is None
