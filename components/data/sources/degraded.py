"""Prepare a data set whose sources are degraded copies of the images of another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from components.common.atomic import new_folder, settle, sibling
from components.common.errors import InputError
from components.common.locks import locked
from components.data.card import SPLITS, DatasetCard
from components.data.dataset import ShardedArray, open_split
from components.data.local import data_version
from components.data.sources import prepare
from components.data.sources.base import Collection, Progress
from components.data.sources.degradations import Degradation, Downscale, Edges, Grey, Jpeg, Noise
from components.data.sources.folder import reserved, scratch_folder
from components.data.sources.second_order import RealEsrgan
from components.data.versioning import pins

DEGRADATIONS: dict[str, type[Degradation]] = {
    cls.kind: cls for cls in (Edges, Grey, Downscale, Noise, Jpeg, RealEsrgan)
}


def degradation(kind: str, options: Mapping[str, Any]) -> Degradation:
    """Return the degradation `kind` with the options that are not None.

    Raises:
        InputError: the kind is unknown, or an option is not one of it or has an impossible value.
    """
    if kind not in DEGRADATIONS:
        raise InputError(f"unknown degradation {kind!r}; known: {', '.join(DEGRADATIONS)}")
    cls, values = DEGRADATIONS[kind], {name: value for name, value in options.items() if value is not None}
    if unknown := sorted(values.keys() - cls.model_fields.keys()):
        accepted = ", ".join(cls.model_fields) or "no options"
        raise InputError(f"{kind} has no option {', '.join(unknown)}; it has: {accepted}")
    try:
        return cls(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{first['loc'][0]} {first['input']} is not possible: {first['msg']}") from None


def degrade(
    name: str,
    base: str,
    degradation: Degradation,
    home: Path,
    *,
    revision: str | None = None,  # of the base; None: the pinned version
    seed: int = 0,  # of what is random
    replace: bool = False,  # replace a set of this name from another source
    progress: Progress | None = None,
) -> DatasetCard:
    """Prepare data set `name`: the images of the data set `base`, each with a degraded copy as its source.

    Images, labels, captions, splits and their order are those of the base; sources of the base are left out.

    Raises:
        InputError: the base does not exist, or its images cannot be degraded in this way.
    """
    home = Path(home)
    prepare.check_new(name)
    snapshot, version = data_version(home, base, revision)
    card = DatasetCard.read(snapshot)
    degradation.check(card.channels, card.resolution)
    settings = {"kind": degradation.kind, **degradation.model_dump(), "seed": seed}
    identity = f"{base}, degraded: " + ", ".join(f"{key} {value}" for key, value in settings.items())
    prepare.sweep(home)
    with prepare.explained(name), locked(pins.data_lock(home, name)):
        folder = settle(pins.data_folder(home, name))
        prepare.refuse_other_source(home, name, identity, replace)
        with scratch_folder(sibling(folder, "scratch")) as scratch, new_folder(folder) as temporary:
            collection = collect(snapshot, card, degradation, seed, scratch, progress)
            about = {**collection.about, "source": f"{base}, version {version[:10]}"}
            about["options"] = {**card.options, "degradation": settings, "base_version": version}
            written = prepare.write(Collection(**{**vars(collection), "about": about}), name, temporary)
        prepare.remember_source(home, name, identity)
        return written


def collect(
    folder: Path,
    card: DatasetCard,
    degradation: Degradation,
    seed: int,
    scratch: Path,
    progress: Progress | None = None,
) -> Collection:
    """Collect the images of a prepared set, with their order, and their sources, a file in `scratch`."""
    splits = {name: open_split(folder, name) for name in SPLITS}
    images = ShardedArray([array for split in splits.values() for array in split.images.arrays])
    about: dict[str, Any] = card.model_dump(include={"source", "licence", "credit", "background", "options"})
    about["title"] = f"{card.title}, {degradation.kind}"
    captions = [each for split in splits.values() for each in split.all_captions or split.captions or []]
    labels = [split.labels for split in splits.values() if split.labels is not None]
    groups = [str(row) for row in range(len(images))]
    return Collection(
        about=about,
        images=images,
        groups=groups,
        labels=np.concatenate(labels) if labels else None,
        label_names=card.labels,
        captions=captions if card.captions else None,
        splits=[name for name, split in splits.items() for _ in range(len(split))],
        sources=Collection({}, sources_of(images, degradation, seed, scratch / "sources", progress), groups),
        ordered=True,
    )


def sources_of(
    images: ShardedArray | np.ndarray,
    degradation: Degradation,
    seed: int,
    file: Path,
    progress: Progress | None = None,
) -> np.ndarray:
    """Return the degraded copies of `images` (N, C, H, W), written to a new file."""
    shape = degradation(images[0], seed).shape
    sources = reserved(file, (len(images), *shape))
    for row in range(len(images)):
        sources[row] = degradation(images[row], seed)
        if progress:
            progress(row + 1, len(images), "degraded")
    return sources
