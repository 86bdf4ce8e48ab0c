"""Ctrl-C and SIGTERM end a run at once: jobs are stopped, and the record says that it was interrupted."""

from __future__ import annotations

import signal
import threading
from types import FrameType


def stop_on_signals() -> None:
    """Handle SIGINT and SIGTERM; does nothing outside of the main thread, where Python allows no handlers."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    for again in (signal.SIGINT, signal.SIGTERM):  # a second one must not break off the stopping half-way
        signal.signal(again, signal.SIG_IGN)
    from components.cluster import ray_cluster  # most commands never need it

    ray_cluster.stop()
    raise KeyboardInterrupt
