"""A server whose run was killed is ended by the next run; a living run's is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.orphans import end_orphans

# A process with a server's command line; the first argument keeps python from looking for a module.
SERVER = [sys.executable, "-c", "import time; time.sleep(60)", "uvicorn", "prefect.server"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc")
def test_only_orphans_of_this_home_are_ended(tmp_path: Path) -> None:
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path)}
    living = subprocess.Popen(SERVER, env=environment)
    parent = f"import subprocess; print(subprocess.Popen({SERVER!r}, stdout=-3, stderr=-3).pid)"
    done = subprocess.run([sys.executable, "-c", parent], env=environment, capture_output=True, text=True)
    orphan = Path("/proc") / done.stdout.strip()
    time.sleep(0.5)
    try:
        if orphan.joinpath("stat").read_text().rpartition(")")[2].split()[1] != "1":
            pytest.skip("orphans here are adopted by a process of another number")
        assert end_orphans(str(tmp_path / "other")) == 0
        assert end_orphans(str(tmp_path)) == 1
        time.sleep(0.5)
        assert not orphan.exists() or "Z" in orphan.joinpath("stat").read_text().split()[2]
        assert living.poll() is None
    finally:
        living.kill()
        living.wait()
