"""What is chosen by the machine."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from components.cluster import resources
from components.common.errors import InputError
from components.diagnostics import checks

INTEL, AMD = "GenuineIntel", "AuthenticAMD"


@pytest.mark.parametrize(
    ("vendor", "flags", "fast"),
    [
        (AMD, "avx512f avx512_bf16", True),
        (INTEL, "avx512f avx512_bf16 amx_bf16", True),
        (INTEL, "avx512f avx512_bf16", False),  # AMX hidden by a virtual machine: half as fast as float32
        (AMD, "avx512f", False),
        (INTEL, "avx2", False),
    ],
)
def test_bfloat16_is_for_processors_that_are_faster_with_it(
    vendor: str, flags: str, fast: bool, tmp_path: Path
) -> None:
    (tmp_path / "cpuinfo").write_text(f"vendor_id\t: {vendor}\nflags\t\t: fpu {flags} x\n")
    assert resources.fast_bfloat16(tmp_path / "cpuinfo") is fast
    assert resources.fast_bfloat16(tmp_path / "none") is False


def test_a_precision_that_is_asked_for_is_taken() -> None:
    assert [resources.precision(wanted, "cpu") for wanted in ("float32", "bfloat16")] == [
        "float32",
        "bfloat16",
    ]
    assert resources.precision("auto", "cuda") == "bfloat16"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that pretends a driver with GPUs and a PyTorch that may or may not use them."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def pretend(gpus: int, cuda: str | None, available: bool, built: list[str], capability: int = 90) -> None:
        def attribute(value: Any, number: int, _: int) -> int:
            value._obj.value = dict(zip(resources.CAPABILITY, divmod(capability, 10), strict=True))[number]
            return 0

        def count(value: Any) -> int:
            value._obj.value = gpus
            return 0

        def is_available() -> bool:
            if not available:
                warnings.warn(
                    "CUDA initialization: The NVIDIA driver on your system is too old\nmore", stacklevel=1
                )
            return available

        driver = SimpleNamespace(cuDeviceGetCount=count, cuDeviceGetAttribute=attribute)
        monkeypatch.setattr(resources, "_driver", lambda: driver if gpus else None)
        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(torch.cuda, "is_available", is_available)
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")

    return pretend


@pytest.mark.parametrize(
    ("settings", "chosen", "reason"),
    [
        ((0, "13.0", False, []), "cpu", ""),
        ((1, "13.0", True, ["sm_80", "sm_90"]), "cuda", ""),
        ((1, "13.0", True, ["sm_80", "compute_80"]), "cuda", ""),  # compiled when it is loaded
        ((1, "13.0", True, ["sm_90a"], 97), "cuda", ""),
        ((1, None, False, []), "cpu", "built without CUDA"),
        ((2, "13.0", False, []), "cpu", "driver on your system is too old"),
        ((1, "13.0", True, ["sm_70", "sm_80"], 61), "cpu", "compute capability 6.1, for which PyTorch"),
    ],
)
def test_one_function_decides_on_the_device_of_runs_and_of_the_doctor(
    machine: Any, settings: tuple[Any, ...], chosen: str, reason: str
) -> None:
    machine(*settings)
    assert resources.device("auto") == chosen
    why = resources.unusable_gpu()
    assert reason in why and bool(why) == bool(reason) and "\n" not in why
    check = checks._device()
    assert check.detail.startswith("CUDA" if chosen == "cuda" else "CPU") and reason in check.detail
    assert check.ok is (None if reason else True)
    assert resources.device("cpu") == "cpu" and resources.device("cuda") == "cuda"
    if chosen == "cuda":
        resources.check_device("cuda")
    else:
        with pytest.raises(InputError, match="device: cuda cannot be used: .*set device to auto or cpu"):
            resources.check_device("cuda")
    resources.check_device("cpu")


def test_the_device_of_a_cluster_is_not_this_machine_s(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(0, "13.0", False, [])
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    resources.check_device("cuda")
