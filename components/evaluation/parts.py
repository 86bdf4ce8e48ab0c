"""Write arrays in parts by position, and read all parts as one array."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from components.common.arrays import open_array
from components.common.errors import RunError
from components.records.evaluation import Part
from components.store import Store
from components.store.errors import unless_torn


def write_part(store: Store, parts: str, start: int, arrays: Mapping[str, np.ndarray], part: Part) -> None:
    """Store the arrays of the range that begins at `start` and, last, done.json."""
    with tempfile.TemporaryDirectory() as folder:
        for name, array in arrays.items():
            np.save(Path(folder) / f"{name}.npy", array)
        store.upload(folder, f"{parts}/{start:08d}")
    store.write_json(f"{parts}/{start:08d}/done.json", part.to_json())


def read_part(store: Store, parts: str, start: int) -> Part | None:
    """Return what is known of the part that begins at `start`; None if it is not complete."""
    return Part.read(unless_torn(lambda: store.read_json(f"{parts}/{start:08d}/done.json")))


def merge_parts(store: Store, parts: str, name: str, out: Path) -> np.ndarray | None:
    """Merge the array `name` of all parts, memory-mapped in the folder `out`; None if there is none."""
    starts = store.list(parts)
    if not starts or not store.exists(f"{parts}/{starts[0]}/{name}.npy"):
        return None
    arrays = [open_array(store.local_copy(f"{parts}/{s}/{name}.npy")) for s in starts]
    ends = np.cumsum([len(array) for array in arrays])
    if [int(s) for s in starts] != [0, *ends[:-1]]:
        raise RunError(
            f"{parts} has gaps or repeats: parts begin at {', '.join(starts[:6])} ...; run it again"
        )
    shape = (int(ends[-1]), *arrays[0].shape[1:])
    merged = np.lib.format.open_memmap(out / f"{name}.npy", "w+", arrays[0].dtype, shape)
    for start, array in zip(starts, arrays, strict=True):
        merged[int(start) : int(start) + len(array)] = array
    return merged
