"""The devices, cores and fast precision of this machine."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from components.common.errors import InputError
from components.common.parallel import cores

if TYPE_CHECKING:
    from components.config.experiment import Experiment

CAPABILITY = (75, 76)  # the driver's numbers of the attributes COMPUTE_CAPABILITY_MAJOR and _MINOR


def busy_cores() -> float:
    """Return how many cores of this machine programs use just now, over half a second."""
    import psutil  # imports take long

    return float(psutil.cpu_percent(interval=0.5)) / 100 * (psutil.cpu_count() or 1)


def device(setting: Literal["auto", "cpu", "cuda"] = "auto") -> Literal["cpu", "cuda"]:
    """Resolve `auto` to cuda if PyTorch can use a GPU of this machine, else cpu."""
    if setting != "auto":
        return setting
    return "cuda" if gpus() and not unusable_gpu() else "cpu"


def check_device(chosen: str) -> None:
    """Raise InputError if the device is a GPU that this machine, which is to run the jobs, does not have."""
    if chosen != "cuda" or os.environ.get("RAY_ADDRESS"):
        return
    if reason := unusable_gpu() if gpus() else "the driver reports no GPU":
        raise InputError(f"device: cuda cannot be used: {reason}; set device to auto or cpu")


def gpus() -> int:
    """Return the number of CUDA devices that the driver of this machine reports."""
    driver, count = _driver(), ctypes.c_int(0)
    if driver is not None and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
        return count.value
    return 0


def unusable_gpu() -> str:
    """Return why PyTorch cannot use the GPU that the driver reports; empty if it can, or if there is none.

    PyTorch is imported only if there is one. No memory of the GPU is taken.
    """
    if not gpus():
        return ""
    import torch

    if torch.version.cuda is None:
        return f"the driver reports a GPU, but PyTorch {torch.__version__} is built without CUDA"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if not torch.cuda.is_available():
            reasons = [str(warning.message).splitlines()[0] for warning in caught]
            return (
                f"the driver reports a GPU, but PyTorch cannot use it: {(reasons or ['it finds none'])[-1]}"
            )
    major, minor = (_attribute(number) for number in CAPABILITY)
    built = [re.fullmatch(r"(sm|compute)_(\d+)(\d)\w?", name) for name in torch.cuda.get_arch_list()]
    kinds = [(match[1], int(match[2]), int(match[3])) for match in built if match]
    if kinds and not any(
        (kind == "sm" and m == major and n <= minor) or (kind == "compute" and (m, n) <= (major, minor))
        for kind, m, n in kinds
    ):
        return (
            f"the GPU has compute capability {major}.{minor}, for which PyTorch {torch.__version__} has no "
            f"code ({', '.join(torch.cuda.get_arch_list())})"
        )
    return ""


def _driver() -> ctypes.CDLL | None:
    """Return the driver of NVIDIA's GPUs, ready for use; None if there is none."""
    with contextlib.suppress(OSError):
        driver = ctypes.CDLL("libcuda.so.1")
        if driver.cuInit(0) == 0:
            return driver
    return None


def _attribute(number: int) -> int:
    """Return an attribute of the first GPU, which there must be."""
    driver, value = _driver(), ctypes.c_int(0)
    assert driver is not None
    driver.cuDeviceGetAttribute(ctypes.byref(value), number, 0)
    return value.value


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


def processor(device: str = "cpu", cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the name of the processor, or of the GPU, that computes on a device of this machine."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    with contextlib.suppress(OSError):
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def room(cores: float, gpus: float, *, threads: int, gpu_share: float = 0.0) -> int:
    """Return how many processes fit a machine, each with so many threads and such a share of a GPU."""
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
        room(*machine, threads=s.torch_threads, gpu_share=share) // max(1, s.most_workers) for s in settings
    ]
    return max(1, min(fitting))
