"""What malloc does with freed memory."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from components.common.memory import LastValue, set_imports_aside

FAULTS = """
import ctypes, resource, sys
from components.common.memory import keep_freed
if sys.argv[1] == "kept":
    keep_freed()
malloc = ctypes.CDLL(None)
malloc.malloc.restype, malloc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
for turn in range(50):
    if turn == 1:  # once the heap has grown
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [malloc.malloc(2**20) for _ in range(8)]
    for block in blocks:
        ctypes.memset(block, 1, 2**20)
    for block in blocks:
        malloc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Pages that the system had to hand out anew while 8 MiB were taken and freed 49 times."""
    done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_freed_memory_is_taken_again() -> None:
    assert faults("kept") < 1000 < 50_000 < faults("as it comes")


def test_what_is_imported_is_set_aside_once() -> None:
    set_imports_aside.cache_clear()
    try:
        set_imports_aside()
        aside = gc.get_freeze_count()
        later = [[] for _ in range(1000)]  # what a job makes is collected as ever
        set_imports_aside()
        # Other threads may free what was set aside, so the count may fall.
        assert aside > 1000 and gc.get_freeze_count() < aside + len(later)
    finally:
        gc.unfreeze()


def test_the_newest_is_kept_and_an_older_one_is_made_again() -> None:
    made: list[str] = []
    newest = LastValue[str]()

    def get(key: str) -> str:
        return newest.get(key, lambda: made.append(key) or key.upper())  # type: ignore[func-returns-value]

    assert [get("a"), get("a"), get("b"), get("b"), get("a")] == ["A", "A", "B", "B", "A"]
    assert made == ["a", "b", "a"]


def test_what_cannot_be_made_is_not_kept() -> None:
    newest = LastValue[int]()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            newest.get("a", lambda: 1 // 0)
    assert newest.get("a", lambda: 3) == 3
