"""Judging through training, which selects: on validation images, with seeds that no published number uses.

What is selected by such a number is best by luck too, so it is never reported as a result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.distances import frechet_distance, kid, statistics
from components.features import load_extractor

ENOUGH = 2  # times the feature dimension: with fewer images a Frechet distance is mostly bias


class Jury:
    """Judges the snapshots of one training against the validation images of its data set.

    Args:
        reference: a folder that the reference stage left.
        extractor: a folder with an extractor.
        samples: images in a snapshot, at least 2.
        targets: uint8 (samples, C, H, W), what each image should be; None where samples have no target.
    """

    def __init__(self, reference: Path, extractor: Path, samples: int, targets: np.ndarray | None = None):
        self.extractor = load_extractor(extractor)
        self.real = np.load(reference / "features" / "validation.npy", mmap_mode="r")
        self.summary = statistics(self.real)
        self.samples, self.targets = samples, targets

    @property
    def measure(self) -> str:
        """What selects.

        Closeness to the targets; without any, the Frechet distance where there are images enough for it, else
        KID, which has no bias.
        """
        if self.targets is not None:
            return "mse"
        few = min(self.samples, len(self.real)) < ENOUGH * self.extractor.dim
        return "kid" if few else "frechet_distance"

    @property
    def described(self) -> dict[str, Any]:
        """How it selects, for people."""
        return {"metric": self.measure, "split": "validation", "n": self.samples}

    def __call__(self, images: np.ndarray) -> dict[str, float]:
        """Kid, frechet_distance and, for targets, mse and mae; `score` (lower is better) is the measure.

        Of few images, so never FID, whatever the extractor; they compare within one training only.
        """
        fake = self.extractor(images)
        distance = frechet_distance(self.summary, statistics(fake))
        found = {"kid": kid(self.real, fake), "frechet_distance": distance}
        if self.targets is not None:
            error = self.targets / 255.0 - images / 255.0
            found |= {"mse": float(np.square(error).mean()), "mae": float(np.abs(error).mean())}
        return {"score": found[self.measure], **found}


@dataclass(frozen=True)
class Selector:
    """Draws a snapshot of a generator and judges it."""

    jury: Jury
    draw: Callable[[Any], np.ndarray]

    def __call__(self, generator: Any) -> dict[str, float]:
        """What the jury says."""
        return self.jury(self.draw(generator))
