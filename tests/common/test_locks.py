"""Lock files: one holder, over threads and processes, and none once the holder is gone."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from components.common.interruption import interrupted
from components.common.locks import locked

HOLDER = """
import sys, time
from pathlib import Path
from components.common.locks import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """A process that holds the lock until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout and process.stdout.readline() == "held\n"
    return process


def taken(path: Path) -> bool:
    try:
        with locked(path, wait=False):
            return False
    except BlockingIOError:
        return True


def test_a_taken_lock_raises_at_once_and_a_killed_process_holds_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "locks" / "data-mine"
    process = holder(path)
    try:
        begun = time.monotonic()
        with pytest.raises(BlockingIOError, match="data-mine is locked"), locked(path, wait=False):
            pass
        assert time.monotonic() - begun < 5
        monkeypatch.setattr(interrupted, "is_set", lambda: True)
        with pytest.raises(BlockingIOError, match="data-mine is locked"), locked(path):
            pass
    finally:
        process.kill()
        process.wait()
    with locked(path, wait=False):
        assert taken(path), "within one process too"
    assert not taken(path)


def test_who_waits_comes_next(tmp_path: Path) -> None:
    path, events = tmp_path / "lock", []

    def wait() -> None:
        with locked(path):
            events.append("second")

    waiting = threading.Thread(target=wait)
    with locked(path):
        waiting.start()
        time.sleep(0.2)
        events.append("first")
    waiting.join(30)
    assert events == ["first", "second"]


def test_an_error_inside_releases_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), locked(tmp_path / "lock"):
        raise ValueError("inside")
    assert not taken(tmp_path / "lock")
