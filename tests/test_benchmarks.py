"""`benchmarks/gpu.py` works before there is a GPU: it runs on a CPU as well."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_script_for_gpus_runs_on_a_cpu() -> None:
    command = [sys.executable, "benchmarks/gpu.py", "gan", "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    agreement, speed = (line for line in done.stdout.splitlines() if line.startswith("| gan |"))
    assert agreement.startswith("| gan | 0 | 0 |") and agreement.endswith("| yes |"), (
        "the CPU agrees with itself"
    )
    assert "32 px, batch 8" in speed
