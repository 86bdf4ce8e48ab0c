"""The data sets that can be prepared by name."""

from __future__ import annotations

from pathlib import Path

from components.common.errors import InputError
from components.data.sources import torchvision_sets
from components.data.sources.base import CatalogueEntry, Collection, Progress
from components.data.sources.digits import DIGITS, MNIST5K, digits, mnist5k, mnist5k_32
from components.data.sources.emoji import EMOJI, collect
from components.data.sources.emoji_pairs import EMOJI_PAIRS
from components.data.sources.photographs import PHOTOGRAPHS, photographs


def find(name: str) -> CatalogueEntry:
    """Return the known data set `name`; raise InputError if it is unknown."""
    if name.startswith("torchvision:"):
        return torchvision_sets.find(name.removeprefix("torchvision:"))
    if name not in KNOWN:
        raise InputError(
            f"unknown data set {name!r}; known: {', '.join(KNOWN)}, torchvision:<Class>; "
            f"`atelier data add NAME FOLDER` adds a folder of images"
        )
    return KNOWN[name]


def emoji(home: Path, progress: Progress | None = None, resolution: int = 32) -> Collection:
    """Collect Twemoji with names and categories."""
    return collect(resolution, progress)


def emoji64(home: Path, progress: Progress | None = None) -> Collection:
    """Collect Twemoji at 64 pixels."""
    return emoji(home, progress, resolution=64)


KNOWN = {
    entry.name: entry
    for entry in (
        CatalogueEntry("mnist5k", "MNIST, 5,000 digits, 28x28 grey", MNIST5K, mnist5k),
        CatalogueEntry("digits", "Digits, 8x8 grey", DIGITS, digits),
        CatalogueEntry("emoji", "Twemoji, 32x32 RGB, with names and categories", EMOJI, emoji),
        CatalogueEntry("emoji64", "Twemoji, 64x64 RGB, with names and categories", EMOJI, emoji64),
        CatalogueEntry("mnist5k-32", "MNIST, 5,000 digits with a border, 32x32 grey", MNIST5K, mnist5k_32),
        *EMOJI_PAIRS,
        CatalogueEntry(
            "photographs-x4",
            "Crops of photographs, 128x128 from 32x32",
            PHOTOGRAPHS,
            photographs,
        ),
    )
}
