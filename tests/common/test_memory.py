"""What malloc does with freed memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
