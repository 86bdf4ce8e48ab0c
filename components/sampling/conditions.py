"""The default conditions and source images of samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.data.card import DatasetCard
from components.data.dataset import Split
from components.families.catalogue import conditions, task_of
from components.families.tasks import DEFAULT, TASKS, Task
from models.data_spec import DataSpec
from models.family import Batch

GOLDEN = (5**0.5 - 1) / 2  # whose multiples modulo 1 are spread evenly


def conditions_of(
    family: str, config: Mapping[str, Any], card: DataSpec, data: DatasetCard, split: Split
) -> dict[str, Any]:
    """Return the conditions of a family's evaluated samples, as arguments of `generate`.

    They are the images or sources and the captions of the split, in order, with their labels. Without any, or
    with unpaired sources, labels are as frequent as in the data.
    """
    kinds, made_from = conditions(family, config, card), target_images(family, split)
    if "text" in kinds:
        made_from["text"] = split.text
    if "label" in kinds and data.label_counts:
        unpaired = "sources" in made_from and not task_of(family).paired
        if made_from.keys() - ({"sources"} if unpaired else set()):
            made_from["labels"] = split.labels
        else:
            made_from |= {"labels": "data", "counts": data.label_counts["train"]}
    return made_from


def target_images(family: str, split: Split, rows: np.ndarray | None = None) -> dict[str, Any]:
    """Return the images that samples are made from: sources, or images to reconstruct; empty for noise.

    Args:
        family: name of the family.
        split: the split of the images.
        rows: rows of the images, None for all; unpaired sources are repeated in turn instead.
    """
    task = task_of(family)
    if task.made_from == "noise":
        return {}
    if split.sources is None or task.made_from != "source":
        return {"images": split.images if rows is None else split.images[rows]}
    if rows is not None and not task.paired:
        rows = np.arange(len(rows)) % len(split.sources)
    return {"sources": split.sources if rows is None else split.sources[rows]}


@dataclass(frozen=True)
class FixedConditions:
    """Conditions for internal samples of a training, such as BatchNorm recalibration; the same in every run.

    Attributes:
        card: shape and conditions of the images.
        split: the images or sources to sample from; a task that samples from noise needs only its labels.
        task: the family's task.
    """

    card: DataSpec
    split: Split | None = None
    task: Task = TASKS[DEFAULT]

    def __call__(self, number: int, n: int) -> Batch:
        """Return batch `number` of `n` conditions on the CPU.

        Classes as frequent as in the split (without labels, in turn), or the rows of the split in order,
        starting over at the end.
        """
        classes = self.classes(number * n + np.arange(n)) if self.card.num_classes else None
        if self.task.made_from == "noise":
            return Batch(n, label=classes)
        assert self.split is not None, "a family that makes samples from images is trained with conditions"
        batch = self.split.batch((number * n + np.arange(n)) % self.split.most_samples)
        if batch.source is None:
            return batch
        return replace(batch, image=None, label=batch.label if self.task.paired else classes)

    def classes(self, indices: np.ndarray) -> Tensor:
        """Return the classes of these samples, (N,) int64, as frequent as in the split."""
        labels = self.split.labels if self.split is not None else None
        if labels is None:
            return torch.from_numpy(indices % self.card.num_classes)
        bounds = np.cumsum(np.bincount(labels, minlength=self.card.num_classes)) / len(labels)
        return torch.from_numpy(np.searchsorted(bounds, (indices + 0.5) * GOLDEN % 1, side="right"))
