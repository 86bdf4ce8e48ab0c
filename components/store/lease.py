"""Leases: at most one holder per name, across processes and machines; needs only a store.

A lease is a series of numbered files, leases/<name>/<n>.json, of which the highest is valid. Its holder
rewrites it as a heartbeat, with the seconds after which it expires. A process that finds it released, or
unchanged for these seconds of the process's monotonic clock (or for its own, if they are more), creates the
next number; only one process can. The holder of a lower number has lost the lease; a store with its `fence`,
in whatever process, then refuses to write.
"""

from __future__ import annotations

import json
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.common.errors import InputError, RunError
from components.common.interruption import interrupted_within
from components.store import numbered
from components.store.errors import LostLease, Unreachable

if TYPE_CHECKING:
    from components.store.store import Store

SECONDS = "ATELIER_LEASE_SECONDS"
BEATS = 6  # heartbeats in this time


def lease_seconds() -> float:
    """Return the seconds until a dead run's lease expires: ATELIER_LEASE_SECONDS, by default 30.

    Raises:
        InputError: the variable is not a number of at least 1.
    """
    text = os.environ.get(SECONDS, "30")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds < math.inf:
        raise InputError(f"{SECONDS}={text}: set it to a number of seconds, at least 1")
    return seconds


@dataclass(frozen=True)
class Fence:
    """The condition of a store's writes, picklable: the lease's number is still the highest."""

    folder: Store
    name: str
    number: int

    def check(self, attempts: int | None = None) -> None:
        """Raise LostLease if another process holds the lease now; ask the store up to `attempts` times."""
        if numbered.highest(self.folder.with_attempts(attempts)) != self.number:
            raise LostLease(
                f"lost the lease {self.name!r} to another run; this one stops, run it again to resume"
            )


class Lease:
    """A lease held by this process; each holder gets a higher `number`.

    `taken_over` says whether the lease of the last holder expired, so that this holder may still be alive.
    """

    def __init__(
        self, folder: Store, name: str, number: int, state: dict[str, Any], expires: float, taken_over: bool
    ):
        self.number, self.taken_over = number, taken_over
        self.fence = Fence(folder, name, number)
        self._folder, self._state = folder.fenced(self.fence), state
        self._pause = expires / BEATS
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease {name}", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise LostLease if another process holds the lease now."""
        self.fence.check()

    def _beat(self) -> None:
        while not self._ended.wait(self._pause):
            self._state["beat"] += 1
            try:
                self._write()
            except LostLease:
                return
            except Exception:  # noqa: S112 - the next beat retries; if all fail, the lease expires
                continue

    def _write(self) -> None:
        self._folder.write_json(numbered.name(self.number), self._state)

    def _release(self) -> None:
        self._ended.set()
        self._thread.join()  # a concurrent heartbeat must not overwrite the release
        self._state["released"] = True
        with suppress(Exception):  # it will expire
            self._write()


@contextmanager
def lease(
    store: Store,
    name: str,
    *,
    poll: float = 1.0,  # seconds between attempts while another process holds the lease
    expires: float | None = None,  # seconds without a heartbeat after which a holder counts as dead
    on_wait: Callable[[], None] | None = None,  # called once if another process holds the lease
    on_alive: Callable[[], None] | None = None,  # called once if its heart was seen to beat; may raise
) -> Iterator[Lease]:
    """Hold the lease `name`, waiting until it is free.

    Raises:
        InputError: the environment variable that sets `expires` is not a number of seconds.
        RunError: the process is to end and another one holds the lease.
    """
    seconds = lease_seconds() if expires is None else expires
    poll = min(poll, seconds / 4)  # a gap of half of them would count as a pause of this process
    folder = store.fenced(None).child("leases", name)  # a lease that is lost does not keep from another
    acquired = _acquire(folder, name, poll, seconds, on_wait, on_alive)
    try:
        yield acquired
    finally:
        acquired._release()


def _acquire(
    folder: Store,
    name: str,
    poll: float,
    expires: float,
    on_wait: Callable[[], None] | None,
    on_alive: Callable[[], None] | None,
) -> Lease:
    heartbeat = _Heartbeat(expires)
    while True:
        number, state = _latest(folder, heartbeat)
        free = state is not None and (state["released"] or heartbeat.expired(number, state))
        if number == 0 or free:
            taken_over = state is not None and not state["released"]
            acquired = _create(folder, name, number + 1, expires, taken_over)
            if acquired is not None:
                return acquired
        elif state is not None and on_wait is not None:
            on_wait()
            on_wait = None
        if heartbeat.beats and on_alive is not None:
            on_alive()
            on_alive = None
        if (state is None or not state["released"]) and interrupted_within(poll):
            raise RunError("interrupted")


class _Heartbeat:
    """The last heartbeat that was read, and since when it has not changed by this process's clock."""

    def __init__(self, expires: float):
        self.expires = expires
        self.last: tuple[int, int] | None = None  # (number, beat)
        self.since = self.read_at = 0.0
        self.beats = 0  # changes since the first reading

    def expired(self, number: int, state: Mapping[str, Any]) -> bool:
        """Return whether this heartbeat has not changed for the longer of the holder's and one's own seconds.

        A long gap between two readings restarts the count: its cause (the store was down, the machine
        asleep) may also have kept the holder from writing.
        """
        now, latest = time.monotonic(), (number, state["beat"])
        expires = max(self.expires, state.get("expires", 0.0))
        self.beats += self.last is not None and self.last != latest
        if self.last != latest or now - self.read_at > max(expires / 2, 1.0):
            self.last, self.since = latest, now
        self.read_at = now
        return now - self.since >= expires


def _latest(folder: Store, heartbeat: _Heartbeat) -> tuple[int, dict[str, Any] | None]:
    """Return the highest number and the content of its file, None if it could not be read this time."""
    try:
        number = numbered.highest(folder)
        return number, folder.read_json(numbered.name(number)) if number else None
    except (FileNotFoundError, json.JSONDecodeError):  # deleted since it was listed, or incomplete
        return number, None
    except Unreachable:
        if heartbeat.last is None:  # the first reading: fail at once
            raise
        return -1, None


def _create(folder: Store, name: str, number: int, expires: float, taken_over: bool) -> Lease | None:
    state = {"number": number, "host": socket.gethostname(), "pid": os.getpid()}
    state |= {"beat": 0, "expires": expires, "released": False}
    if not numbered.create(folder, number, state):
        return None
    # Meanwhile others may have acquired and released the lease, and deleted our number.
    numbers = numbered.numbers(folder)
    if numbers[-1] != number:
        return None
    for old in (n for n in numbers if n < number - 1):
        with suppress(Exception):
            folder.delete(numbered.name(old))
    with suppress(Exception):
        folder.remove_unfinished(older=expires)
    return Lease(folder, name, number, state, expires, taken_over)
