"""Uploads in the background, so that a slow or unreachable store does not stop training."""

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

MAX_PAUSE = 30.0  # seconds between attempts


class Uploader:
    """A queue of uploads, written in order and retried while the store is unreachable."""

    def __init__(self, store: Store):
        self.failed: list[tuple[str, str]] = []  # (relative path, reason)
        self._store = store.with_attempts(1)  # retried here
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
        """The number of unfinished uploads."""
        return len(self._queue)

    def put(self, source: Path | bytes, rel: str) -> None:
        """Queue bytes, or a file or folder that must not change until it is uploaded."""
        self._store.path(rel)  # raises here for a bad name
        with self._changed:
            if self._closing:
                raise RuntimeError("the uploader is closed")
            self._queue.append((source, rel))
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until every queued upload has succeeded or failed permanently."""
        with self._changed:
            self._changed.wait_for(lambda: not self._queue)

    def close(self, timeout: float = 60.0) -> None:
        """Wait up to `timeout` seconds for the queue; then add what is missing to `failed`."""
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
        """Retry until the upload succeeds (return None), fails permanently or is abandoned (return why)."""
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
                pause = min(2 * pause, MAX_PAUSE)
            except Exception as error:  # a full disk, a missing file: a retry does not help
                return str(error)

    def _sleep(self, seconds: float) -> bool:
        """Sleep, at most a second once close() waits; return whether to continue."""
        until = time.monotonic() + seconds
        with self._changed:
            while not self._abandoned and (remaining := until - time.monotonic()) > 0:
                if self._closing:
                    remaining, until = min(remaining, 1.0), 0.0
                self._changed.wait(remaining)
            return not self._abandoned
