"""Measure how fast a family trains and samples on this machine, by a few steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from components.common.seeds import derive
from components.common.threads import using_threads
from components.config.train import Train
from components.data.batches import Batches
from components.data.card import DatasetCard
from components.data.dataset import open_split
from components.evaluation.samples import EvaluationInputs, sample_for_evaluation
from components.extractors.small import TURNS, train_classifier
from components.families.catalogue import build, card_for, task_of
from components.sampling.conditions import FixedConditions
from components.training.distributed import Group
from components.training.trainer import Trainer

WARM_UP = 2  # steps, of which the first takes longer
SAMPLES = 16  # drawn at once; a larger batch is faster, by a tenth or so
SECONDS = 6.0  # of measured steps, and at least as many steps as a phase's interval
CLASSIFIER_STEPS = 10  # measured

Clock = Callable[[], float]


@dataclass(frozen=True)
class Rates:
    """The cost of a family on this machine, on one core or one GPU."""

    step: float  # seconds of a training step
    sample: float  # seconds of a sample


def measure(
    family: str,
    config: Mapping[str, Any],
    settings: Train,
    folder: Path,
    device: str = "cpu",
    clock: Clock = time.perf_counter,
) -> Rates:
    """Train a few steps and draw a few samples of a family that builds on no other; nothing is written.

    Args:
        family: its name.
        config: its settings.
        settings: of its training; the number of steps does not matter.
        folder: of the prepared data.
        device: cpu or cuda.
        clock: seconds.
    """
    data = DatasetCard.read(folder)
    card = card_for(family, config, data)
    split = open_split(folder, "train", sources=card.source is not None)
    torch.manual_seed(derive(settings.seed, "weights"))
    with using_threads(settings.torch_threads):
        built = build(family, config, card, settings=settings)
        conditions = FixedConditions(card, split, task_of(family))
        trainer = Trainer(built, settings, group=Group(device=torch.device(device)), conditions=conditions)
        batches = Batches(split, settings.batch, settings.seed, paired=task_of(family).paired)
        inputs = EvaluationInputs(family, config, card, data, split)
        return Rates(_step(trainer, batches, clock), _sample(trainer, inputs, device, clock))


def measure_classifier(folder: Path, clock: Clock = time.perf_counter) -> float:
    """Return the seconds of a training step of the extractor, and of the classifier of the accuracy score.

    Both are the same network, on one core.
    """
    split = open_split(folder, "train")
    labels = np.zeros(len(split), np.int64) if split.labels is None else split.labels
    classes = 1 + max(TURNS, int(labels.max()))
    train_classifier(split.images, labels, classes, steps=WARM_UP, seed=0)
    began = clock()
    train_classifier(split.images, labels, classes, steps=CLASSIFIER_STEPS, seed=0)
    return (clock() - began) / CLASSIFIER_STEPS


def _step(trainer: Trainer, batches: Batches, clock: Clock) -> float:
    """Return the mean seconds of a step, over whole intervals of the rarest phase."""
    interval = max(phase.every for phase in trainer.family.phases)
    for _ in range(WARM_UP):
        trainer.step(batches)
    began, steps = clock(), 0
    while steps == 0 or clock() - began < SECONDS:
        for _ in range(interval):
            trainer.step(batches)
        steps += interval
        if trainer.group.device.type == "cuda":
            torch.cuda.synchronize()
    return (clock() - began) / steps


def _sample(trainer: Trainer, inputs: EvaluationInputs, device: str, clock: Clock) -> float:
    """Return the mean seconds of a sample."""
    n = inputs.most(SAMPLES)
    generator = trainer.family.generator
    return sample_for_evaluation(generator, inputs, n, 0, batch=n, device=device, clock=clock).seconds / n
