"""Open arrays on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from components.common.errors import InputError, sentence


def open_array(path: Path) -> np.ndarray:
    """Return the array in a .npy file, memory-mapped: no more than the file holds.

    Raises:
        InputError: it is not such a file, or shorter than its header says.
    """
    try:
        return np.load(path, mmap_mode="r")
    except OSError:
        raise
    except Exception as error:  # NumPy reads the header as Python and raises various errors
        raise InputError(f"{path} is damaged ({sentence(error)}): make it again") from None
