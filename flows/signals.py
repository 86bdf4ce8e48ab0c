"""End a run on Ctrl-C, SIGTERM or a closed terminal: stop its jobs and raise KeyboardInterrupt.

A command that waits nevertheless is ended by its second signal, or by the time.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from components.common import interruption
from components.common.interruption import interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CODE = 130  # exit code of an interrupted command
SECONDS = 60.0  # that a command has to end after its first signal
TOGETHER = 1.0  # seconds after the first in which others belong to it: `timeout` and systemd send two

_is_command = False  # whether a signal may end this process: it is no notebook, for example


def stop_on_signals(*, command: bool = False) -> None:
    """Handle SIGNALS; do nothing outside the main thread, where Python allows no handlers.

    SIGHUP stays ignored under `nohup`.

    Args:
        command: from now on, end this process at once at a second signal, and SECONDS after the first.
    """
    global _is_command
    _is_command = _is_command or command
    if threading.current_thread() is threading.main_thread():
        _handle(_stop)


def _handle(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    if interrupted.is_set():  # Prefect has put this handler back
        return
    _handle(_ignore)  # another signal must not interrupt `stop`
    if _is_command:
        reads, writes = os.pipe()
        os.set_blocking(writes, False)
        signal.set_wakeup_fd(writes, warn_on_full_buffer=False)  # whatever the main thread waits for
        threading.Thread(target=_end_at_once, args=[reads], daemon=True).start()
    interruption.stop()
    raise KeyboardInterrupt


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing. Python tells the pipe of a signal only if it has a handler."""


def _end_at_once(reads: int) -> None:
    """End the process at the next signal, whose number comes through a pipe, or after SECONDS."""
    first = now = time.monotonic()
    while now < first + SECONDS:
        ready, _, _ = select.select([reads], [], [], first + SECONDS - now)
        numbers, now = os.read(reads, 64) if ready else b"", time.monotonic()
        if now > first + TOGETHER and any(number in SIGNALS for number in numbers):
            break
    cursor = "\x1b[?25h" if os.isatty(2) else ""  # which bars hide
    os.write(2, f"{cursor}atelier: interrupted, and ended at once; run the same command again\n".encode())
    os._exit(CODE)
