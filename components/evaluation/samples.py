"""Sample a model for evaluation: open the data, choose the conditions, draw."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from components.common.chunks import CHUNK
from components.data.card import DatasetCard
from components.data.dataset import Split, open_split
from components.families.artifact import load_model
from components.families.catalogue import task_of
from components.families.tasks import Task
from components.sampling import generate
from components.sampling.conditions import conditions_of
from components.store import Store
from models.data_spec import DataSpec
from models.family import Generator


@dataclass(frozen=True)
class EvaluationInputs:
    """The inputs of the evaluated samples of a family: its settings, the data and a split."""

    family: str
    config: Mapping[str, Any]
    card: DataSpec
    data: DatasetCard
    split: Split
    has_pairs: bool = False  # whether source i belongs to image i, where there are sources
    train: Split | None = None  # for the nearest pair; None: the task or the data has no pairs to train on

    @property
    def task(self) -> Task:
        """The family's task."""
        return task_of(self.family)

    @cached_property
    def conditions(self) -> dict[str, Any]:
        """The conditions, as arguments of `generate`."""
        return conditions_of(self.family, self.config, self.card, self.data, self.split)

    def most(self, n: int) -> int:
        """Return `n`, or the number of images, sources or captions to sample from if that is smaller."""
        made_from = [self.conditions.get(kind) for kind in ("images", "sources", "text")]
        return min([n, *(len(rows) for rows in made_from if rows is not None)])

    def targets(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the targets of samples, uint8 (n, C, H, W); None if there are none.

        A task that learns without pairs has targets as well if the split has pairs.
        """
        hidden = self.task.made_from == "source" and self.split.sources is not None and self.has_pairs
        return self.split.images[rows] if self.task.has_target or hidden else None


@dataclass(frozen=True)
class Samples:
    """Samples with their conditions and targets."""

    images: np.ndarray  # uint8 (n, C, H, W)
    labels: np.ndarray | None  # (n,) classes
    captions: np.ndarray | None  # (n,) caption numbers
    targets: np.ndarray | None  # uint8 (n, C, H, W)
    seconds: float  # of sampling alone


def open_model(
    store: Store,
    model: str,
    data: str,
    captions: str,
    split: str,
    device: str = "cpu",
    changes: Mapping[str, tuple[str, Any]] | None = None,
) -> tuple[Generator, EvaluationInputs]:
    """Open a model and a split of the data to evaluate it on.

    Args:
        store: holds the folders.
        model: folder of the model.
        data: folder of the data set.
        captions: folder of its encoded captions, for text-conditional models.
        split: name of the split.
        device: the device to sample on.
        changes: sampling settings that replace the model's, as for `load_model`.
    """
    generator, card, config = load_model(store.local_copy(model), changes)
    folder = store.local_copy(data)
    encoded = store.local_copy(captions) if card.text else None
    described, has_sources = DatasetCard.read(Path(folder)), card.source is not None
    opened = open_split(Path(folder), split, encoded, sources=has_sources)
    compared = described.sources is not None and "nearest_pair" in task_of(config.family).baselines
    inputs = EvaluationInputs(
        config.family,
        config.config,
        card,
        described,
        opened,
        has_pairs=described.sources is not None and split in described.sources.paired,
        train=open_split(Path(folder), "train", sources=True) if has_sources and compared else None,
    )
    return generator.to(device), inputs


def sample_for_evaluation(
    generator: Generator,
    inputs: EvaluationInputs,
    n: int,
    seed: int,
    *,
    start: int = 0,
    batch: int = CHUNK,
    device: str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> Samples:
    """Return images [start, start + n) of the stream of a seed.

    Raises:
        InputError: there are fewer conditions than images.
        RunError: the images are not finite.
    """
    rows, conditions = np.arange(start, start + n), inputs.conditions
    began = clock()
    images = generate.draw(
        generator, inputs.card, n=n, seed=seed, start=start, batch=batch, device=device, **conditions
    )
    seconds, labels, text = clock() - began, None, inputs.split.text
    if "labels" in conditions:
        labels = generate.classes(rows, seed, conditions["labels"], conditions.get("counts"))
    return Samples(images, labels, None if text is None else text.rows[rows], inputs.targets(rows), seconds)
