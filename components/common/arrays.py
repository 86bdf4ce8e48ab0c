"""Open arrays on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from components.common.errors import InputError


def open_array(path: Path) -> np.ndarray:
    """Return the array in a .npy file, memory-mapped: no more than the file holds.

    Raises:
        InputError: it is not such a file, or shorter than its header says.
    """
    try:
        return np.load(path, mmap_mode="r")
    except (ValueError, OverflowError, EOFError, MemoryError) as error:
        raise InputError(f"{path} is damaged ({error}): make it again") from None
