"""End a run on Ctrl-C, SIGTERM or a closed terminal: stop its jobs and raise KeyboardInterrupt."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from components.cluster import ray_cluster

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def stop_on_signals() -> None:
    """Handle SIGNALS; do nothing outside the main thread, where Python allows no handlers.

    SIGHUP stays ignored under `nohup`.
    """
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    for ignored in SIGNALS:  # another signal must not interrupt `stop`
        signal.signal(ignored, signal.SIG_IGN)
    ray_cluster.stop()
    raise KeyboardInterrupt
