"""Arrays on disk, whatever their headers say."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from components.common.arrays import open_array
from components.common.errors import InputError
from tests import limited

GIANT = "{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }"


def test_an_array_is_read_as_it_was_saved(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    assert np.array_equal(open_array(tmp_path / "a.npy"), [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        *[
            b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + (GIANT % n).ljust(117).encode() + b"\n" + bytes(4)
            for n in (10**12, 2**63, 10**30)
        ],
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{",
    ],
    ids=["empty", "text", "10^12", "2^63", "10^30", "header"],
)
def test_a_header_that_claims_more_than_the_file_holds_is_one_sentence(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npy is damaged"), limited.memory():
        open_array(tmp_path / "a.npy")
