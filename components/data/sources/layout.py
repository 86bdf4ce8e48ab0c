"""Interpret the subfolders of a folder of images as classes, splits and domains."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from components.common.errors import InputError
from components.common.names import clean, displayed
from components.data.card import SPLITS

Folders = Counter[tuple[str, ...]]  # the names of the folders around an image: how many are in them

UNLABELLED = "unlabelled"
FOLDER_KINDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("unlabeled", "unlabelled"), UNLABELLED),  # beside splits
}
USUAL = {"train", "val", "valid", "validation", "test"}  # names that need no word
DOMAIN = re.compile(r"(.+?)[_-]?([AB])", re.IGNORECASE)
PICTURES = {"image", "images", "img", "imgs", "photo", "photos", "pictures", "jpegimages"}
PARALLEL = {"mask", "masks", "label", "labels", "annotation", "annotations", "depth", "edges", "sketches"}
PARALLEL |= {"segmentation", "segmentations", "segmentationclass", "segmentationobject"}
"""Folders of images, and of what belongs to each of these images: no classes."""
UNSORTED = PICTURES - {"photo", "photos"}  # say of what is in a folder only that it is images
LAYOUTS = ("auto", "classes", "splits", "none")


def kind_of(folder: str) -> str | None:
    """Return the split that a folder's name stands for, or `unlabelled`; None: another name."""
    return FOLDER_KINDS.get(folder.lower())


def composed(folders: Sequence[str]) -> dict[str, str]:
    """Return the splits of folders whose names differ in nothing else, such as seg_train and seg_test."""
    alike: dict[tuple[str, ...], dict[str, str]] = {}
    for folder in folders:
        words = [word.lower() for word in re.findall("[A-Z]?[a-z]+|[A-Z]+", folder)]
        stated = [word for word in words if word in FOLDER_KINDS]
        if len(stated) == 1 and domain_of(folder) is None:
            rest = tuple(word for word in words if word != stated[0])
            alike.setdefault(rest, {})[folder] = FOLDER_KINDS[stated[0]]
    several = [kinds for kinds in alike.values() if len(set(kinds.values()) & set(SPLITS)) > 1]
    return {folder: kind for kinds in several for folder, kind in kinds.items()}


def domain_of(folder: str) -> str | None:
    """Return A or B for the folder of a split of one domain, such as trainA or Test_b; None: another name."""
    match = DOMAIN.fullmatch(folder)
    return match[2].upper() if match and kind_of(match[1]) in SPLITS else None


class Layout:
    """The classes and splits of the images at `paths`, by their folders.

    Args:
        paths: relative, with '/'.
        source: folder or URL, for messages.
        captioned: whether the images have captions; images beside folders then need no class.
        mode: auto, or what the top folders are: classes, splits, or splits or anything but classes (none).

    Raises:
        InputError: it is not certain what the folders mean.
    """

    def __init__(self, paths: Sequence[str], source: str | Path, captioned: bool, mode: str = "auto"):
        self.source, self.captioned = displayed(source), captioned
        folders = Counter(tuple(path.split("/")[:-1]) for path in paths)
        tops = sorted({parts[0] for parts in folders if parts})
        self._kinds = {name: kind for name in tops if (kind := kind_of(name))} | composed(tops)
        self.split_at = self._split_level(folders, mode)
        self.left_out = {p: reason for p in paths if (reason := self._unused(p)) is not None}
        used = [path for path in paths if path not in self.left_out]
        self.folder_kinds = {name: kind for name, kind in map(self._stated, used) if kind}
        self.has_splits = len(set(self.folder_kinds.values())) > 1
        self.names = sorted({parts[0] for parts in map(self._below, used) if len(parts) > 1})
        at_top = [path for path in used if len(self._below(path)) == 1]
        self.labelled = not at_top and len(self.names) > 1 and mode != "none"
        if at_top and len(at_top) < len(used) and not captioned and mode != "none":
            self._refuse_half_labelled(at_top, len(used))
        if self.labelled and mode == "auto":
            self._refuse_parallel()
            self._refuse_parts(used)
        if self.labelled and len({clean(name) for name in self.names}) < len(self.names):
            raise InputError(
                f"two classes in {self.source} differ by control characters only: rename the folders"
            )

    @property
    def note(self) -> str | None:
        """How folders are read as splits, where that is not plain from their names."""
        if self.split_at is None:
            return None
        names, kinds = self.folder_kinds, set(self.folder_kinds.values())
        missing = [split for split in SPLITS if split not in kinds]
        if self.split_at == 0 and set(names) <= USUAL and kinds >= {"train", "test"}:
            return None
        read = ", ".join(f"{displayed(name)} is {kind}" for name, kind in sorted(names.items()))
        cut = f"; {' and '.join(missing)} cut from the others" if missing else ""
        return f"folders read as splits: {read}{cut}"

    def classes(self, paths: Sequence[str]) -> Mapping[str, Any]:
        """Return `labels` and `label_names` of the readable images at `paths`; empty without classes."""
        if not self.labelled:
            return {}
        names = sorted({self._below(path)[0] for path in paths})  # without classes of unreadable images only
        number = {name: i for i, name in enumerate(names)}
        labels = np.array([number[self._below(path)[0]] for path in paths], np.int64)
        return {"labels": labels, "label_names": [clean(name) for name in names]}

    def splits(self, paths: Sequence[str], digests: Sequence[str]) -> list[str] | None:
        """Return the splits by folder, copies of a test image all in test; None: no split folders."""
        if not self.has_splits:
            return None
        stated = [str(self._stated(path)[1]) for path in paths]
        strictest: dict[str, str] = {}
        for digest, split in zip(digests, stated, strict=True):
            strictest[digest] = min(split, strictest.get(digest, split))  # test < train < validation
        return [strictest[digest] for digest in digests]

    def _split_level(self, folders: Folders, mode: str) -> int | None:
        """Return which folders of a path are splits: 0, the top ones, or 1, those below; None: none are."""
        if mode == "classes":
            return None
        named = sorted(name for name, kind in self._kinds.items() if kind in SPLITS)
        others = sorted({parts[0] for parts in folders if parts} - self._kinds.keys())
        domains = {parts[0] for parts in folders if parts and domain_of(parts[0])}
        if mode == "splits":
            if not named:
                raise InputError(f"no top folder of {self.source} is called like a split: leave out --layout")
            return 0
        if domains:
            self._ask(sorted(domains), "is a split of one of two domains", "others are not")
        if named and others:
            self._ask(named, "is called like a split", f"{examples(others)} not")
        if named and not all(folders):
            at_top = folders[()]
            raise InputError(
                f"{self.source} has {at_top} images in no subfolder and {folders.total() - at_top} in "
                f"subfolders called like splits: put every image into the folder of its split"
            )
        return 0 if named else self._deeper_level(folders)

    def _deeper_level(self, folders: Folders) -> int | None:
        """Return 1 if all folders of the second level are splits, of several kinds; ask if only some are."""
        for level in range(1, max(map(len, folders), default=0)):
            names = {parts[level] if len(parts) > level else "" for parts in folders}
            named = sorted(name for name in names if kind_of(name) in SPLITS)
            if len({kind_of(name) for name in named}) > 1:
                if level == 1 and all(kind_of(name) for name in names):
                    return 1
                self._ask(named, "below other folders is called like a split", "others are not")
        return None

    def _ask(self, named: Sequence[str], what: str, others: str) -> None:
        raise InputError(
            f"{self.source}: {examples(named)} {what}, {others}; rename the folders, or pass --layout "
            f"classes if the top folders are classes, or --layout splits to read only those that are splits"
        )

    def _refuse_half_labelled(self, at_top: Sequence[str], total: int) -> None:
        where = sorted({path.split("/")[0] for path in at_top}) if self.split_at == 0 else []
        place = f" (in {examples(where)})" if where and "/" in at_top[0] else ""
        raise InputError(
            f"{self.source} has {len(at_top)} images in no subfolder{place} and {total - len(at_top)} in "
            f"subfolders: put every image into the subfolder of its class, or all into one folder"
        )

    def _refuse_parallel(self) -> None:
        """Raise InputError if a class is called like masks of the images in another, or just images."""
        kinds = {name.lower(): name for name in self.names}
        images, others = sorted(kinds.keys() & PICTURES), sorted(kinds.keys() & PARALLEL)
        if images and others:
            first, second = displayed(kinds[images[0]]), displayed(kinds[others[0]])
            raise InputError(
                f"{self.source}: {second} beside {first} is probably no class; add {first} alone, or pairs "
                f"with the folder {first} and --sources {second}; --layout classes reads them as classes"
            )
        if unsorted := sorted(kinds.keys() & UNSORTED):
            rest = examples([name for name in self.names if name != kinds[unsorted[0]]])
            self._ask_classes(f"{displayed(kinds[unsorted[0]])} beside {rest} is probably no class")

    def _refuse_parts(self, paths: Sequence[str]) -> None:
        """Raise InputError if folders called 0000, 0001 ... only keep files apart whose numbers continue."""
        if not all(re.fullmatch("[0-9]{4,}", name) for name in self.names):
            return
        first, last = dict[str, int](), dict[str, int]()
        for folder, *_, name in map(self._below, paths):
            stem = name.rpartition(".")[0] or name
            for number in map(int, re.findall("[0-9]{1,18}", stem)[-1:]):
                first[folder] = min(number, first.get(folder, number))
                last[folder] = max(number, last.get(folder, number))
        if len(first) == len(self.names) and all(
            last[one] < first[next_one] for one, next_one in pairwise(self.names)
        ):
            self._ask_classes(
                f"{examples(self.names)} are probably no classes, since the numbers of their files continue"
            )

    def _ask_classes(self, what: str) -> None:
        raise InputError(
            f"{self.source}: {what}; pass --layout none to read all images without classes, or --layout "
            f"classes if they are classes, or add one of the folders"
        )

    def _unused(self, path: str) -> str | None:
        """Return why an image is left out; None: it is used."""
        if self.split_at is None:
            return None
        kind = self._stated(path)[1]
        if kind == UNLABELLED:
            return "in a folder of unlabelled images beside splits"
        return None if kind else "outside the folders of splits"

    def _stated(self, path: str) -> tuple[str, str | None]:
        """Return the folder that states the split of an image, and the split."""
        folders = path.split("/")[:-1]
        if self.split_at is None or len(folders) <= self.split_at:
            return "", None
        folder = folders[self.split_at]
        return folder, kind_of(folder) if self.split_at else self._kinds.get(folder)

    def _below(self, path: str) -> list[str]:
        """Return the parts of a path without that of its split."""
        parts = path.split("/")
        if self.split_at is None or len(parts) - 1 <= self.split_at:
            return parts
        return parts[: self.split_at] + parts[self.split_at + 1 :]


def examples(names: Sequence[str]) -> str:
    """Return the first three names."""
    return ", ".join(map(displayed, names[:3])) + (", ..." if len(names) > 3 else "")
