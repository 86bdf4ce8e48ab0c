"""The event that tells this process to end. All code that waits for a store or a cluster checks it."""

from __future__ import annotations

import sys
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


def stop() -> None:
    """End all jobs, from a signal handler. Threads that wait for them then fail."""
    interrupted.set()
    ray = sys.modules.get("ray")
    if ray is not None and hasattr(ray, "shutdown"):  # else it is being imported just now
        ray.shutdown()
