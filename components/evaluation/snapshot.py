"""Judging through training, which selects: on validation images, with seeds that no published number uses.

What is selected by such a number is best by luck too, so it is never reported as a result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.data.dataset import Split
from components.extractors.load import load_extractor
from components.families.tasks import Task
from components.metrics.distances import frechet_distance, kid, statistics
from components.metrics.diversity import RelativeDiversity
from components.records.training import Selection
from components.store import Store

ENOUGH = 2  # times the feature dimension: with fewer images a Frechet distance is mostly bias


class SnapshotEvaluator:
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
        self.relative_diversity = RelativeDiversity(np.asarray(self.real[:samples], np.float64))

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
    def described(self) -> Selection:
        """What selects, for people."""
        return Selection(metric=self.measure, split="validation", n=self.samples)

    def __call__(self, images: np.ndarray) -> dict[str, float]:
        """Kid, frechet_distance, diversity and, for targets, mse and mae; `score` is the measure.

        All but diversity are lower the better. That is the Vendi score over that of real images: 1 is as
        diverse as as many of them, near 0 all alike. Of few images, so never FID, whatever the extractor;
        they compare among trainings that are judged by as many samples of the same seed only.
        """
        fake = self.extractor(images)
        distance = frechet_distance(self.summary, statistics(fake))
        found = {"kid": kid(self.real, fake), "frechet_distance": distance}
        found["diversity"] = self.diversity(fake)
        if self.targets is not None:
            error = self.targets / 255.0 - images / 255.0
            found |= {"mse": float(np.square(error).mean()), "mae": float(np.abs(error).mean())}
        return {"score": found[self.measure], **found}

    def diversity(self, fake: np.ndarray) -> float:
        """The Vendi score of features (N, D) over that of the same number of real images; 0 if not finite."""
        features = np.asarray(fake[: len(self.real)][: self.samples], np.float64)
        return self.relative_diversity(features) if np.isfinite(features).all() else 0.0


def open_jury(
    store: Store, reference: str, extractor: str, split: Split, n: int, task: Task
) -> SnapshotEvaluator:
    """Opens what judges the first `n` samples of a split.

    Args:
        store: where everything lies.
        reference: folder that the reference stage left.
        extractor: folder of the extractor.
        split: of validation.
        n: images in a snapshot.
        task: says whether samples have targets.
    """
    targets = split.images[np.arange(n)] if "pairs" in task.metrics else None
    return SnapshotEvaluator(store.local_copy(reference), store.local_copy(extractor), n, targets)


@dataclass(frozen=True)
class SnapshotSelector:
    """Draws a snapshot of a generator and judges it."""

    jury: SnapshotEvaluator
    draw: Callable[[Any], np.ndarray]

    def __call__(self, generator: Any) -> dict[str, float]:
        """What the jury says."""
        return self.jury(self.draw(generator))
