"""Names of the files of samples, and whether a file is a certain sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.common.errors import InputError
from components.sampling import png, to_files


def test_names_sort_as_numbers_do() -> None:
    assert to_files.names(3_000_000)[-1] == "2999999.png" and to_files.names(2)[0] == "000000.png"


def test_only_whole_files_of_the_same_sample_count(tmp_path: Path) -> None:
    file, made = tmp_path / "000000.png", {"seed": 1, "image": 0}
    assert not to_files.is_drawn(file, made)
    file.write_bytes(png.encoded(np.zeros((8, 8, 1), np.uint8), made))
    assert to_files.is_drawn(file, made)
    with pytest.raises(InputError, match="000000.png exists already and is no sample of this model"):
        to_files.is_drawn(file, {**made, "seed": 2})
    file.write_bytes(file.read_bytes()[:60])
    assert not to_files.is_drawn(file, made)
