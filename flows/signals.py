"""End a run on Ctrl-C and SIGTERM: stop its jobs and raise KeyboardInterrupt."""

from __future__ import annotations

import signal
import threading
from types import FrameType


def stop_on_signals() -> None:
    """Handle SIGINT and SIGTERM; do nothing outside the main thread, where Python allows no handlers."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM):  # another signal must not interrupt `stop`
        signal.signal(ignored, signal.SIG_IGN)
    from components.cluster import ray_cluster  # not needed by most commands

    ray_cluster.stop()
    raise KeyboardInterrupt
