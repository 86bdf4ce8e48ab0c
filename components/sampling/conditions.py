"""The conditions and source images that evaluated samples are made from."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.data.card import DataCard
from components.data.dataset import Split
from components.families.catalogue import conditions, task_of
from models.family import Card


def conditions_of(
    family: str, config: dict[str, Any], told: Card, data: DataCard, split: Split
) -> dict[str, Any]:
    """What a family's judged samples are made from.

    Its inputs and the captions of the split, one after the other, with the labels that are theirs; where
    there is neither, labels as frequent as in the data.
    """
    kinds, found = conditions(family, config, told), originals(family, split)
    if "text" in kinds:
        found["text"] = split.text
    if "label" in kinds and data.label_counts:
        drawn = {"labels": "data", "counts": data.label_counts["train"]}
        found |= {"labels": split.labels} if found else drawn
    return found


def originals(family: str, split: Split, rows: np.ndarray | slice = slice(None)) -> dict[str, Any]:
    """The images that a family makes its own from, where it does: sources, else those to be found again."""
    task = task_of(family)
    if task.made_from == "noise":
        return {}
    if split.sources is not None and task.made_from == "source":
        return {"sources": split.sources if isinstance(rows, slice) else split.sources[rows]}
    return {"images": split.images if isinstance(rows, slice) else split.images[rows]}
