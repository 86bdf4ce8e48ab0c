"""What the subfolders of a folder of images mean: classes, and perhaps splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from components.common.errors import InputError
from components.data.sources.names import clean, shown

SPLIT_FOLDERS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


class Layout:
    """The meaning of the folders of `paths`."""

    def __init__(self, paths: list[str], source: str | Path, captioned: bool):
        tops = {path.split("/")[0] for path in paths}
        self.own_splits = {"train", "test"} <= tops <= set(SPLIT_FOLDERS)
        parts = [self._below(path) for path in paths]
        at_root = sum(len(p) == 1 for p in parts)
        self.names = sorted({p[0] for p in parts if len(p) > 1})
        self.labelled = not at_root and len(self.names) > 1
        if at_root and at_root < len(parts) and not captioned:
            raise InputError(
                f"{shown(str(source))} has {at_root} images of its own and {len(parts) - at_root} in "
                f"subfolders: put every image into the subfolder of its class, or all into one folder"
            )
        if self.labelled and len({clean(name) for name in self.names}) < len(self.names):
            raise InputError(
                f"two classes in {shown(str(source))} differ by control characters only: rename the folders"
            )

    def _below(self, path: str) -> list[str]:
        return path.split("/")[1:] if self.own_splits else path.split("/")

    def classes(self, paths: list[str]) -> dict[str, Any]:
        """Labels and class names of `paths`, the images that could be read."""
        if not self.labelled:
            return {}
        names = sorted({self._below(path)[0] for path in paths})  # of those that still have an image
        number = {name: i for i, name in enumerate(names)}
        labels = np.array([number[self._below(path)[0]] for path in paths], np.int64)
        return {"labels": labels, "label_names": [clean(name) for name in names]}

    def splits(self, paths: list[str], digests: list[str]) -> list[str] | None:
        """The splits that the folder itself states, copies of a test image in test; None: it states none."""
        if not self.own_splits:
            return None
        stated = [SPLIT_FOLDERS[path.split("/")[0]] for path in paths]
        strictest: dict[str, str] = {}
        for digest, split in zip(digests, stated, strict=True):
            strictest[digest] = min(split, strictest.get(digest, split))  # test < train < validation
        return [strictest[digest] for digest in digests]
