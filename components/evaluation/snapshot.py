"""Evaluate snapshots during training, for selection only: on validation, with seeds reserved for it.

The metric that selected a snapshot is biased in its favour, so it is never reported as a result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.common.arrays import open_array
from components.data.dataset import Split
from components.extractors.load import load_extractor
from components.families.tasks import Task
from components.metrics.distances import frechet_distance, kid, statistics
from components.metrics.diversity import RelativeDiversity
from components.records.extractor import ExpectedExtractor
from components.records.training import Selection
from components.store import Store

ENOUGH = 2  # times the feature dimension: with fewer images a Frechet distance is mostly bias


class SnapshotEvaluator:
    """Evaluates the snapshots of one training against the validation images of its data set.

    Args:
        reference: folder of the reference stage's results.
        extractor: folder of an extractor.
        samples: images in a snapshot, at least 2.
        targets: uint8 (samples, C, H, W), the target of each image; None if samples have no target.
        as_set: whether images with targets are nevertheless selected as a set.
        expected: the extractor that it must be, as for `load_extractor`.
    """

    def __init__(
        self,
        reference: Path,
        extractor: Path,
        samples: int,
        targets: np.ndarray | None = None,
        expected: ExpectedExtractor | None = None,
        as_set: bool = False,
    ):
        self.extractor = load_extractor(extractor, expected)
        self.real = open_array(reference / "features" / "validation.npy")
        self.summary = statistics(self.real)
        self.samples, self.targets = samples, targets
        self.as_set = as_set or targets is None
        self.relative_diversity = RelativeDiversity(np.asarray(self.real[:samples], np.float64))

    @property
    def measure(self) -> str:
        """The metric that selects.

        The mean square error if there are targets, unless images are selected as a set. Then the Frechet
        distance if there are enough images for it, else KID, which is unbiased.
        """
        if not self.as_set:
            return "mse"
        few = min(self.samples, len(self.real)) < ENOUGH * self.extractor.dim
        return "kid" if few else "frechet_distance"

    @property
    def described(self) -> Selection:
        """The metric that selects, with its split and number of samples, for the report."""
        return Selection(metric=self.measure, split="validation", n=self.samples)

    def __call__(self, images: np.ndarray) -> dict[str, float]:
        """Return kid, frechet_distance, diversity, with targets mse and mae, and the measure as `score`.

        Lower is better for all but diversity. This is the Vendi score divided by that of the same number of
        real images: 1 means equally diverse, near 0 means identical samples. The values use few images, so
        they are never called FID. Compare them only between trainings with the same number of samples and
        the same seed.
        """
        fake = self.extractor(images)
        distance = frechet_distance(self.summary, statistics(fake))
        metrics = {"kid": kid(self.real, fake), "frechet_distance": distance}
        metrics["diversity"] = self.diversity(fake)
        if self.targets is not None:
            error = self.targets / 255.0 - images / 255.0
            metrics |= {"mse": float(np.square(error).mean()), "mae": float(np.abs(error).mean())}
        return {"score": metrics[self.measure], **metrics}

    def diversity(self, fake: np.ndarray) -> float:
        """Return the Vendi score of features (N, D) over that of as many real images; 0 if not finite."""
        features = np.asarray(fake[: len(self.real)][: self.samples], np.float64)
        return self.relative_diversity(features) if np.isfinite(features).all() else 0.0


def open_evaluator(
    store: Store,
    reference: str,
    extractor: str,
    expected: ExpectedExtractor | None,
    split: Split,
    n: int,
    task: Task,
) -> SnapshotEvaluator:
    """Return the evaluator of the first `n` samples of a split.

    Args:
        store: holds the folders.
        reference: folder of the reference stage's results.
        extractor: folder of the extractor.
        expected: the extractor that it must be, as for `load_extractor`.
        split: the validation split.
        n: images in a snapshot.
        task: decides whether samples have targets, and whether these select.
    """
    targets = split.images[np.arange(n)] if "pairs" in task.metrics else None
    folders = store.local_copy(reference), store.local_copy(extractor)
    return SnapshotEvaluator(*folders, n, targets, expected, as_set=task.selects != "mse")


@dataclass(frozen=True)
class SnapshotSelector:
    """Draws a snapshot of a generator and evaluates it."""

    evaluator: SnapshotEvaluator
    draw: Callable[[Any], np.ndarray]

    def __call__(self, generator: Any) -> dict[str, float]:
        """Return the metrics of a snapshot."""
        return self.evaluator(self.draw(generator))
