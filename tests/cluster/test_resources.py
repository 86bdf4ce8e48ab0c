"""What is chosen by the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.cluster import resources

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
