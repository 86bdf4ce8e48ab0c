"""Leases: at most one holder of a name, over processes and machines, with nothing but a store.

A lease is a row of numbered files, leases/<name>/<n>.json, of which the highest counts. Its holder rewrites
it as a heartbeat; whoever finds it released, or unchanged for `expires` seconds of its own monotonic clock,
creates the next number, which exactly one can. The holder of a lower number has lost: `check` tells it.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from components.common.errors import RunError
from components.store import numbered
from components.store.errors import Unreachable

if TYPE_CHECKING:
    from components.store.store import Store

EXPIRES = float(os.environ.get("ATELIER_LEASE_SECONDS", "30"))  # a dead run's lease is taken over after this
BEATS = 6  # heartbeats in the time after which a lease expires


class Lease:
    """A lease that is held; `number` grows with every holder."""

    def __init__(self, folder: Store, name: str, number: int, state: dict[str, Any], expires: float):
        self.name, self.number = name, number
        self._folder, self._state = folder, state
        self._pause = expires / BEATS
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease {name}", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """RunError if somebody else has taken over: call it before publishing anything."""
        if numbered.highest(self._folder) != self.number:
            raise RunError(
                f"lost the lease {self.name!r} to another run; this one stops, run it again to resume"
            )

    def _beat(self) -> None:
        while not self._ended.wait(self._pause):
            self._state["beat"] += 1
            with suppress(Exception):  # the next beat tries again; if all fail, it expires and check() tells
                self._write()

    def _write(self) -> None:
        self._folder.write_json(numbered.name(self.number), self._state)

    def _release(self) -> None:
        self._ended.set()
        self._thread.join()  # a beat under way must not overwrite the release
        self._state["released"] = True
        with suppress(Exception):  # it expires by itself
            self._write()


@contextmanager
def lease(
    store: Store,
    name: str,
    *,
    poll: float = 1.0,  # seconds between looks while another holds it
    expires: float = EXPIRES,  # seconds without a heartbeat after which a holder counts as dead
    on_wait: Callable[[], None] | None = None,  # called once, if another holds it
) -> Iterator[Lease]:
    """Hold the lease `name`, waiting for it if another does."""
    folder = store.child("leases", name)
    held = _acquire(folder, name, poll, expires, on_wait)
    try:
        yield held
    finally:
        held._release()


def _acquire(
    folder: Store, name: str, poll: float, expires: float, on_wait: Callable[[], None] | None
) -> Lease:
    watch = _Watch(expires)
    while True:
        number, state = _latest(folder, watch)
        if number == 0 or (state is not None and (state["released"] or watch.expired(number, state["beat"]))):
            held = _create(folder, name, number + 1, expires)
            if held is not None:
                return held
        elif state is not None and on_wait is not None:
            on_wait()
            on_wait = None
        if state is None or not state["released"]:
            time.sleep(poll)


class _Watch:
    """Sees whether a heartbeat changes, by the clock of whoever looks."""

    def __init__(self, expires: float):
        self.expires = expires
        self.seen: tuple[int, int] | None = None
        self.since = self.last = 0.0

    def expired(self, number: int, beat: int) -> bool:
        """Whether this heartbeat has been there for too long.

        A long gap between two looks starts the count again: whatever kept us from reading (a store that was
        down, a laptop asleep) may have kept the holder from writing.
        """
        now = time.monotonic()
        if self.seen != (number, beat) or now - self.last > max(self.expires / 2, 1.0):
            self.seen, self.since = (number, beat), now
        self.last = now
        return now - self.since >= self.expires


def _latest(folder: Store, watch: _Watch) -> tuple[int, dict[str, Any] | None]:
    """The highest number and what its file says; None if it could not be read this time."""
    try:
        number = numbered.highest(folder)
        return number, folder.read_json(numbered.name(number)) if number else None
    except (FileNotFoundError, json.JSONDecodeError):  # tidied away since it was listed, or torn
        return number, None
    except Unreachable:
        if watch.seen is None:  # nobody is waiting yet: tell at once
            raise
        return -1, None


def _create(folder: Store, name: str, number: int, expires: float) -> Lease | None:
    state = {"number": number, "host": socket.gethostname(), "pid": os.getpid(), "beat": 0, "released": False}
    if not numbered.create(folder, number, state):
        return None
    # Look again: while we slept others may have come and gone, and our number been tidied away.
    numbers = numbered.numbers(folder)
    if numbers[-1] != number:
        return None
    for old in (n for n in numbers if n < number - 1):
        with suppress(Exception):
            folder.delete(numbered.name(old))
    return Lease(folder, name, number, state, expires)
