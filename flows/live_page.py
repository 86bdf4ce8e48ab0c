"""The page of a run while it trains: built in the background, so rarely that it costs next to nothing."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable

PAUSE = 30.0  # seconds, at least, from the end of a build to the next
SHARE = 30  # so many times what the last build took, at least, as with a slow store
LAST = 30.0  # seconds, at most, that the end of a run waits for a build


class LivePage:
    """Builds a page from time to time; thread-safe. A build that fails is tried again at the next time."""

    def __init__(self, build: Callable[[], None]):
        self._build = build
        self._building = threading.Lock()
        self._next = -math.inf
        self._stopped = False

    def refresh(self) -> None:
        """Begin to build the page, unless it is being built or was built a short time ago."""
        if time.monotonic() < self._next or not self._building.acquire(blocking=False):
            return
        if self._stopped:
            self._building.release()
            return
        threading.Thread(target=self._work, name="page", daemon=True).start()

    def stop(self) -> None:
        """Begin no more; wait for the page that is being built, which would replace the final one."""
        self._stopped = True
        if self._building.acquire(timeout=LAST):
            self._building.release()

    def _work(self) -> None:
        began = time.monotonic()
        try:
            with contextlib.suppress(Exception):  # training does not depend on it
                self._build()
        finally:
            ended = time.monotonic()
            self._next = ended + max(PAUSE, SHARE * (ended - began))
            self._building.release()
