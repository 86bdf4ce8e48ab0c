"""Progress of work that may take long, reported to whoever watches it: a command's bar, or a stage's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

Watcher = Callable[[int, int, str], None]
"""Gets how much is done, how much there is in all, and what is being done, in a word such as "draw"."""

Item = TypeVar("Item")

_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)
_count: ContextVar[Count | None] = ContextVar("count", default=None)


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Pass what is reported in this thread to `watcher`."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def report(done: int, total: int, activity: str) -> None:
    """Report that `done` of `total` are done; 0 when the work begins, from which its rate is counted."""
    if watcher := _watcher.get():
        watcher(done, total, activity)


def reported(items: Sequence[Item], activity: str) -> Iterator[Item]:
    """Yield the items, and report each as done when the next is asked for."""
    report(0, len(items), activity)
    for done, item in enumerate(items, 1):
        yield item
        report(done, len(items), activity)


@dataclass
class Count:
    """The progress of work whose parts do not know of one another."""

    total: int
    activity: str
    done: int = 0


@contextmanager
def counting(total: int, activity: str) -> Iterator[None]:
    """Report `done` of `total` at each `advance` of the work in this block."""
    token = _count.set(Count(total, activity))
    try:
        yield
    finally:
        _count.reset(token)


def advance(n: int) -> None:
    """Report that `n` more are done, up to the total of `counting`, if anybody counts; 0 at the beginning."""
    if count := _count.get():
        count.done = min(count.done + n, count.total)
        report(count.done, count.total, count.activity)
