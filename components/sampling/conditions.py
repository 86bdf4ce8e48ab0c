"""The conditions and source images that samples are made from, where nobody asks for others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from components.data.card import DatasetCard
from components.data.dataset import Split
from components.families.catalogue import conditions, task_of
from components.families.tasks import DEFAULT, TASKS, Task
from models.family import Batch, DataSpec


def conditions_of(
    family: str, config: Mapping[str, Any], card: DataSpec, data: DatasetCard, split: Split
) -> dict[str, Any]:
    """Returns what a family's evaluated samples are made from, as `generate` takes it.

    Its inputs and the captions of the split, one after the other, with the labels that belong to them. Where
    there is neither, or where the inputs are the sources of no particular image, labels as frequent as in
    the data.
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
    """Returns the images that a family makes its own from: sources, else those to be found again.

    Args:
        family: its name.
        split: where the images are from.
        rows: which images; all in their order where None. Unpaired sources then take turns.
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
    """What the samples of a training are made from that nobody looks at: the same in every run.

    Attributes:
        card: of the family.
        split: whose images or sources they are made from; not needed for a task that makes them from noise.
        task: of the family.
    """

    card: DataSpec
    split: Split | None = None
    task: Task = TASKS[DEFAULT]

    def __call__(self, number: int, n: int) -> Batch:
        """Returns batch `number` of `n` conditions on the CPU.

        All classes in turn; or rows of the split in their order, from the first again where they end.
        """
        classes = torch.arange(n) % self.card.num_classes if self.card.num_classes else None
        if self.task.made_from == "noise":
            return Batch(n, label=classes)
        assert self.split is not None, "a family that makes samples from images is trained with conditions"
        batch = self.split.batch((number * n + np.arange(n)) % self.split.most_samples)
        if batch.source is None:
            return batch
        return replace(batch, image=None, label=batch.label if self.task.paired else classes)
