"""Crops of photographs that come with packages, to be enlarged from a quarter of their size."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from components.data.sources.base import Collection, Progress, packaged
from components.data.sources.degradations import Downscale

PHOTOGRAPHS = "scikit-image (data), scikit-learn (datasets/images)"
SIDE = 128  # pixels of a crop, as ESRGAN is trained with
SPLITS = {  # whole photographs, so that no split has a part of another's
    "train": (
        "astronaut.png",
        "motorcycle_left.png",
        "retina.jpg",
        "hubble_deep_field.jpg",
        "ihc.png",
        "flower.jpg",
    ),
    "validation": ("rocket.jpg",),
    "test": ("chelsea.png", "coffee.png", "china.jpg"),
}
OF_SCIKIT_LEARN = ("china.jpg", "flower.jpg")


def photographs(home: Path, progress: Progress | None = None) -> Collection:
    """Collect crops of 128 x 128 pixels: in training half overlapping, elsewhere apart from each other."""
    crops: list[np.ndarray] = []
    groups: list[str] = []
    stated: list[str] = []
    for split, names in SPLITS.items():
        for name in names:
            of_photograph = cut(read(name), SIDE // 2 if split == "train" else SIDE)
            crops += of_photograph
            groups += [name] * len(of_photograph)
            stated += [split] * len(of_photograph)
            if progress:
                progress(len(set(groups)), sum(map(len, SPLITS.values())), "read")
    degradation = Downscale(scale=4)
    settings = {"kind": degradation.kind, **degradation.model_dump()}
    return Collection(
        about={
            "title": "Crops of photographs 128x128",
            "source": PHOTOGRAPHS,
            "licence": "BSD-3-Clause (scikit-image, scikit-learn); photographs public domain, CC0 or CC BY",
            "credit": "the photographers named in skimage/data and sklearn/datasets/images",
            "options": {
                "degradation": settings,
                "photographs": {s: list(names) for s, names in SPLITS.items()},
            },
        },
        images=np.stack(crops),
        groups=groups,
        splits=stated,
        sources=Collection({}, np.stack([degradation(crop) for crop in crops]), groups),
    )


def read(name: str) -> np.ndarray:
    """Return a photograph as uint8 (3, H, W)."""
    if name in OF_SCIKIT_LEARN:
        path = packaged("scikit-learn", f"sklearn/datasets/images/{name}")
    else:
        path = packaged("scikit-image", f"skimage/data/{name}")
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def cut(photograph: np.ndarray, stride: int) -> list[np.ndarray]:
    """Return the crops (3, 128, 128) of a photograph (3, H, W), `stride` pixels apart."""
    _, height, width = photograph.shape
    return [
        photograph[:, top : top + SIDE, left : left + SIDE]
        for top in range(0, height - SIDE + 1, stride)
        for left in range(0, width - SIDE + 1, stride)
    ]
