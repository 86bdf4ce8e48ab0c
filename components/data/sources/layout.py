"""Interpret the subfolders of a folder of images as classes and splits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from components.common.errors import InputError
from components.data.sources.names import clean, displayed

SPLIT_FOLDERS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


class Layout:
    """The classes and splits of the images at `paths`, by their folders."""

    def __init__(self, paths: list[str], source: str | Path, captioned: bool):
        tops = {path.split("/")[0] for path in paths}
        self.has_splits = {"train", "test"} <= tops <= set(SPLIT_FOLDERS)
        parts = [self._below(path) for path in paths]
        at_root = sum(len(p) == 1 for p in parts)
        self.names = sorted({p[0] for p in parts if len(p) > 1})
        self.labelled = not at_root and len(self.names) > 1
        if at_root and at_root < len(parts) and not captioned:
            raise InputError(
                f"{displayed(source)} has {at_root} images in no subfolder and {len(parts) - at_root} in "
                f"subfolders: put every image into the subfolder of its class, or all into one folder"
            )
        if self.labelled and len({clean(name) for name in self.names}) < len(self.names):
            raise InputError(
                f"two classes in {displayed(source)} differ by control characters only: rename the folders"
            )

    def _below(self, path: str) -> list[str]:
        return path.split("/")[1:] if self.has_splits else path.split("/")

    def classes(self, paths: list[str]) -> Mapping[str, Any]:
        """Return `labels` and `label_names` of the readable images at `paths`; empty without classes."""
        if not self.labelled:
            return {}
        names = sorted({self._below(path)[0] for path in paths})  # without classes of unreadable images only
        number = {name: i for i, name in enumerate(names)}
        labels = np.array([number[self._below(path)[0]] for path in paths], np.int64)
        return {"labels": labels, "label_names": [clean(name) for name in names]}

    def splits(self, paths: list[str], digests: list[str]) -> list[str] | None:
        """Return the splits by folder, copies of a test image all in test; None: no split folders."""
        if not self.has_splits:
            return None
        stated = [SPLIT_FOLDERS[path.split("/")[0]] for path in paths]
        strictest: dict[str, str] = {}
        for digest, split in zip(digests, stated, strict=True):
            strictest[digest] = min(split, strictest.get(digest, split))  # test < train < validation
        return [strictest[digest] for digest in digests]
