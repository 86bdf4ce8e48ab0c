"""Uploads in the background: a store that is slow or down does not stop training."""

from __future__ import annotations

import threading
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from components.store.errors import Unreachable

if TYPE_CHECKING:
    from components.store.store import Store

LONGEST = 30.0  # seconds between attempts, at most


class Uploader:
    """Writes what it is given, in that order, and keeps trying for as long as the store is down."""

    def __init__(self, store: Store):
        self.failed: list[tuple[str, str]] = []  # (relative path, why)
        self._store = store.with_attempts(1)  # the patience is here
        self._queue: deque[tuple[Path | bytes, str]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._abandoned = False
        self._thread = threading.Thread(target=self._work, name="uploader", daemon=True)
        self._thread.start()

    def __enter__(self) -> Uploader:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def pending(self) -> int:
        """How many are not there yet."""
        return len(self._queue)

    def put(self, source: Path | bytes, rel: str) -> None:
        """Queue bytes, or a file or folder that stays as it is until it has been uploaded."""
        self._store.path(rel)  # a bad name is the caller's mistake: tell it here
        with self._changed:
            if self._closing:
                raise RuntimeError("the uploader is closed")
            self._queue.append((source, rel))
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until all that was given is there, or was refused for good."""
        with self._changed:
            self._changed.wait_for(lambda: not self._queue)

    def close(self, timeout: float = 60.0) -> None:
        """Wait for the rest, at most `timeout` seconds; what is still missing then is in `failed`."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()
            self.failed += [(rel, "the store did not answer in time") for _, rel in self._queue]
            self._queue.clear()

    def _work(self) -> None:
        while self._wait():
            source, rel = self._queue[0]
            error = self._try(source, rel)
            with self._changed:
                if self._abandoned:
                    return
                self._queue.popleft()
                if error:
                    self.failed.append((rel, error))
                self._changed.notify_all()

    def _wait(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            return bool(self._queue)

    def _try(self, source: Path | bytes, rel: str) -> str | None:
        """Upload until it works, is refused for good, or nobody waits any more; says what went wrong."""
        pause = 0.5
        while True:
            try:
                if isinstance(source, bytes):
                    self._store.write_bytes(rel, source)
                else:
                    self._store.upload(source, rel)
                return None
            except Unreachable as error:
                if not self._sleep(pause):
                    return str(error)
                pause = min(2 * pause, LONGEST)
            except Exception as error:  # a full disk, a missing file: time does not help
                return str(error)

    def _sleep(self, seconds: float) -> bool:
        """Whether to go on afterwards. Somebody waiting in close() makes the pauses short."""
        until = time.monotonic() + seconds
        with self._changed:
            while not self._abandoned and (left := until - time.monotonic()) > 0:
                if self._closing:
                    left, until = min(left, 1.0), 0.0
                self._changed.wait(left)
            return not self._abandoned
