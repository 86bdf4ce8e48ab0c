"""The event that tells this process to end. All code that waits for a store or a cluster checks it."""

from __future__ import annotations

import threading
import time

POLL = 0.5  # seconds

interrupted = threading.Event()  # set when a signal arrives; cleared when a run begins


def interrupted_within(seconds: float) -> bool:
    """Sleep until this process is to end, at most for `seconds`; return whether it is.

    Unlike `interrupted.wait`, it holds no lock that the handler of a signal, in the same thread, needs.
    """
    until = time.monotonic() + seconds
    while not interrupted.is_set() and (rest := until - time.monotonic()) > 0:
        time.sleep(min(rest, POLL))
    return interrupted.is_set()
