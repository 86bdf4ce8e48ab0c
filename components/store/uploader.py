"""Uploads in the background, so that a slow or unreachable store does not stop training."""

from __future__ import annotations

import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from components.common.interruption import interrupted
from components.store.errors import Unreachable

if TYPE_CHECKING:
    from components.store.store import Store

Source = Path | bytes | Callable[[], None]

MAX_PAUSE = 30.0  # seconds between attempts
MAX_BYTES = 256 * 2**20  # of waiting uploads in memory


class Uploader:
    """A queue of uploads, written in order and retried while the store is unreachable.

    Its memory is bounded: a later upload to a path replaces an earlier one that has not begun, and bytes
    beyond `MAX_BYTES` wait in a temporary folder. If this machine's disk is full, `put` waits for room.
    """

    def __init__(self, store: Store):
        self.failed: list[tuple[str, str]] = []  # (relative path, reason)
        self._store = store.with_attempts(1)  # retried here
        self._queue: dict[str, Source] = {}  # by relative path, in order
        self._optional: set[str] = set()  # relative paths
        self._current: tuple[str, Source] | None = None
        self._spool: tempfile.TemporaryDirectory[str] | None = None  # of bytes beyond MAX_BYTES
        self._changed = threading.Condition()  # re-entrant
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
        with self._changed:
            return len(self._queue) + (self._current is not None)

    def put(self, source: Source, rel: str, *, optional: bool = False) -> None:
        """Queue bytes, or a file or folder that must not change until it is uploaded.

        An upload to the same path that has not begun is dropped. `failed` does not list an optional one.
        """
        self._store.path(rel)  # raises here for a bad name
        with self._changed:
            if self._closing:
                raise RuntimeError("the uploader is closed")
            self.drop(rel)
            if isinstance(source, bytes):
                source = self._bounded(source)
            self._queue[rel] = source
            if optional:
                self._optional.add(rel)
            self._changed.notify_all()

    def call(self, action: Callable[[], None], title: str) -> None:
        """Queue a call that needs the store, in place of a queued one of this title; it may fail."""
        self.put(action, title, optional=True)

    def drop(self, rel: str) -> None:
        """Forget the upload to `rel` if it has not begun."""
        with self._changed:
            self._discard(self._queue.pop(rel, b""))

    def flush(self) -> None:
        """Wait until every queued upload has succeeded or failed permanently, or until `interrupted`."""
        with self._changed:
            while self.pending and not interrupted.is_set():
                self._changed.wait(1.0)

    def close(self, timeout: float = 60.0) -> None:
        """Wait up to `timeout` seconds for the queue; then add what is missing to `failed`."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()
            missing = [*([self._current[0]] if self._current else []), *self._queue]
            self.failed += [
                (rel, "the store did not answer in time") for rel in missing if rel not in self._optional
            ]
            self._queue, self._current = {}, None
            if self._spool:
                self._spool.cleanup()
                self._spool = None

    def _bytes(self) -> int:
        """Return the size of what the queue holds in memory."""
        return sum(len(source) for source in self._queue.values() if isinstance(source, bytes))

    def _bounded(self, data: bytes) -> Path | bytes:
        """Return `data`, or a temporary file with it if there is no room; wait if the disk is full."""
        while self._bytes() + len(data) > MAX_BYTES and not interrupted.is_set():
            try:
                return self._spooled(data)
            except OSError:
                if not self._queue:
                    break
                self._changed.wait(1.0)
        return data

    def _spooled(self, data: bytes) -> Path:
        """Return a temporary file with `data`."""
        self._spool = self._spool or tempfile.TemporaryDirectory(prefix="atelier-uploads-")
        file = Path(self._spool.name) / uuid.uuid4().hex
        try:
            file.write_bytes(data)
        except OSError:
            file.unlink(missing_ok=True)
            raise
        return file

    def _discard(self, source: Source) -> None:
        """Delete the temporary file of an upload, if it has one."""
        if self._spool and isinstance(source, Path) and source.parent == Path(self._spool.name):
            source.unlink(missing_ok=True)

    def _work(self) -> None:
        while current := self._next():
            rel, source = current
            error = self._try(source, rel)
            with self._changed:
                if self._abandoned:
                    return
                self._current = None
                self._discard(source)
                if error and rel not in self._optional:
                    self.failed.append((rel, error))
                self._changed.notify_all()

    def _next(self) -> tuple[str, Source] | None:
        """Wait for an upload and return it; return None once the uploader is closed and the queue empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            if self._queue:
                rel = next(iter(self._queue))
                self._current = rel, self._queue.pop(rel)
            return self._current

    def _try(self, source: Source, rel: str) -> str | None:
        """Retry until the upload succeeds (return None), fails permanently or is abandoned (return why)."""
        pause = 0.5
        while True:
            try:
                if isinstance(source, bytes):
                    self._store.write_bytes(rel, source)
                elif not isinstance(source, Path):
                    source()
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
