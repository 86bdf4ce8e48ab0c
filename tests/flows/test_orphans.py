"""A server whose run was killed is ended by the next run; a living run's is left alone."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.orphans import end_orphans

# A process with a server's command line; the first argument keeps python from looking for a module.
SERVER = [sys.executable, "-c", "import time; time.sleep(60)", "uvicorn", "prefect.server"]


def test_only_orphans_of_this_home_are_ended(tmp_path: Path) -> None:
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path)}
    living = subprocess.Popen(SERVER, env=environment)
    parent = f"import subprocess; print(subprocess.Popen({SERVER!r}, stdout=-3, stderr=-3).pid)"
    done = subprocess.run([sys.executable, "-c", parent], env=environment, capture_output=True, text=True)
    orphan = psutil.Process(int(done.stdout))
    time.sleep(0.5)
    try:
        if orphan.ppid() != 1:
            pytest.skip("orphans here are adopted by a process of another number")
        assert end_orphans(str(tmp_path / "other")) == 0
        assert end_orphans(str(tmp_path)) == 1
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.wait_procs([orphan], timeout=5)
            assert orphan.status() == psutil.STATUS_ZOMBIE
        assert living.poll() is None
    finally:
        living.kill()
        living.wait()
