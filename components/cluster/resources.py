"""The devices, cores and fast precision of this machine."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.config.experiment import Experiment


def device(setting: str = "auto") -> str:
    """Resolve `auto` to cuda if the driver reports a GPU, else cpu. Does not import torch."""
    if setting != "auto":
        return setting
    return "cuda" if gpus() else "cpu"


def gpus() -> int:
    """Return the number of CUDA devices of this machine."""
    with contextlib.suppress(OSError):
        driver, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(0)
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
            return count.value
    return 0


def precision(setting: str, device: str) -> str:
    """Resolve `auto` to bfloat16 if the device is faster with it, else float32."""
    if setting != "auto":
        return setting
    return "bfloat16" if device == "cuda" or fast_bfloat16() else "float32"


def fast_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether the processor multiplies bfloat16 faster than float32.

    It does with AMX, and with AVX512-BF16 except on Intel. A virtual machine may hide AMX; on Intel the
    remaining AVX512-BF16 is half as fast as float32 (docs/measured.md).
    """
    try:
        flags = cpuinfo.read_text()
    except OSError:
        return False
    return "amx_bf16" in flags or ("avx512_bf16" in flags and "GenuineIntel" not in flags)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def room(cores: float, gpus: float, *, threads: int, gpu_share: float = 0.0) -> int:
    """How many processes fit a machine, each with so many threads and such a share of a GPU."""
    processes = int(cores // threads)
    return min(processes, int(gpus) * int(1 / gpu_share + 1e-6)) if gpu_share else processes


def concurrent_trainings(experiment: Experiment, of: int | None = None) -> int:
    """Return how many trainings to start at once: what fits this machine, or all if Ray queues them.

    Args:
        experiment: whose families are trained.
        of: the number of trainings; None: one per family.
    """
    if os.environ.get("RAY_ADDRESS"):
        return of or len(experiment.families)
    settings = [experiment.training(family) for family in experiment.families]
    share = 1.0 if experiment.device == "cuda" else 0.0
    machine = cores(), gpus() if share else 0
    fitting = [
        room(*machine, threads=s.torch_threads, gpu_share=share) // max(1, s.workers) for s in settings
    ]
    return max(1, min(fitting))
