"""Evaluate whether synthetic images help a classifier that has few real ones.

Classifiers are trained on small real training sets of several sizes, on synthetic images, and on both, where
a batch is half real and half synthetic on average. All have the same network, the same number of steps and
the same test images, which are real; the real images and the initial weights of a seed are the same with and
without synthetic ones, so the gain is a paired difference. As the classification accuracy score of Ravuri &
Vinyals 2019, https://arxiv.org/abs/1905.10887, with their experiment of mixing both (Section 4.3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from components.common.chunks import CHUNK
from components.common.errors import InputError
from components.common.public import public
from components.common.seeds import derive
from components.data.card import DatasetCard
from components.data.dataset import ShardedArray, Split, Subset, open_split
from components.data.local import data_version
from components.data.synthetic import read_synthetic
from components.extractors.kinds import BATCH
from components.extractors.preprocess import prepare_own
from components.extractors.small import SmallNetwork, train_classifier
from components.records.synthetic import Accuracy, SizeResult, SyntheticEvaluation

RESAMPLES = 1000
EACH = (5, 20, 100)  # real images of each class in the small training sets

Progress = Callable[[int, int], None]


def most_used(steps: int) -> int:
    """Return how many synthetic images a training of this number of steps can see."""
    return steps * BATCH


def evaluate(
    source: str,
    home: Path,
    name: str,
    revision: str | None = None,
    *,
    sizes: Sequence[int] | None = None,
    seeds: int,
    steps: int,
    progress: Progress = lambda done, total: None,
) -> SyntheticEvaluation:
    """Compare classifiers trained on real images, on those of a synthetic data set, and on both.

    Args:
        source: the synthetic data set: a folder, an npz or NAME.tar, or a URL.
        home: the project's folder.
        name: the real data set.
        revision: its version; None: the pinned one.
        sizes: of the small real training sets; None: EACH of each class, as far as there are so many.
        seeds: how many trainings of each kind.
        steps: of each training.
        progress: called with the number of trainings that are done and their number.

    Raises:
        InputError: the synthetic data set cannot be read or does not fit, or a number is not possible.
    """
    folder, version = data_version(home, name, revision)
    card = DatasetCard.read(folder)
    train, test = open_split(folder, "train"), open_split(folder, "test")
    if sizes is None:
        wanted = [each * card.num_classes for each in EACH]
        sizes = [size for size in wanted if size <= len(train)] or [len(train)]
    check(train, card.num_classes, sizes, seeds, steps)
    synthetic = read_synthetic(source, card, most_used(steps))
    alone, results = compare(
        train, test, synthetic, card.num_classes, sizes=sizes, seeds=seeds, steps=steps, progress=progress
    )
    return SyntheticEvaluation(
        source=public(source.rstrip("/").rpartition("/")[2]),
        images=len(synthetic),
        data=name,
        version=version,
        test_images=len(test),
        seeds=seeds,
        steps=steps,
        synthetic=alone,
        sizes=results,
    )


def check(train: Split, num_classes: int, sizes: Sequence[int], seeds: int, steps: int) -> None:
    """Raise InputError if there are no classes, or a number of images, seeds or steps is not possible."""
    if train.labels is None:
        raise InputError("the data set has no classes, which a classifier needs")
    for size in sizes:
        if not num_classes <= size <= len(train):
            raise InputError(
                f"--sizes {size}: a training set has an image of each of the {num_classes} classes at least, "
                f"and at most all {len(train):,} training images"
            )
    if seeds < 2:
        raise InputError(f"--seeds {seeds}: at least 2 are needed for an interval")
    if steps < 1:
        raise InputError(f"--steps {steps}: at least 1 is needed")


def compare(
    train: Split,
    test: Split,
    synthetic: Split,
    num_classes: int,
    *,
    sizes: Sequence[int],
    seeds: int,
    steps: int,
    progress: Progress = lambda done, total: None,
) -> tuple[Accuracy, list[SizeResult]]:
    """Return the accuracy with synthetic images alone, and those for each size of real training sets.

    Args:
        train: real images to take small training sets from.
        test: real images to test with.
        synthetic: synthetic images.
        num_classes: number of classes.
        sizes: of the small training sets.
        seeds: how many trainings of each kind, from seed 0.
        steps: of each training.
        progress: called with the number of trainings that are done and their number.
    """
    total, done = seeds * (1 + 2 * len(sizes)), 0

    def trained(data: Split, seed: int) -> np.ndarray:
        nonlocal done
        assert isinstance(data.images, ShardedArray) and data.labels is not None
        network = train_classifier(data.images, data.labels, num_classes, steps=steps, seed=seed)
        progress(done := done + 1, total)
        return correct(network, test)

    alone = np.stack([trained(synthetic, seed) for seed in range(seeds)])
    results = []
    for size in sizes:
        small = [subset(train, size, seed) for seed in range(seeds)]
        real = np.stack([trained(data, seed) for seed, data in enumerate(small)])
        both = np.stack([trained(mixed(data, synthetic), seed) for seed, data in enumerate(small)])
        gain = both.astype(np.float64) - real
        results.append(SizeResult(size=size, real=accuracy(real), both=accuracy(both), gain=accuracy(gain)))
    return accuracy(alone), results


def subset(train: Split, size: int, seed: int) -> Split:
    """Return a small training set, in which classes are as frequent as in all of it, and each is present."""
    assert train.labels is not None
    random, place = np.random.RandomState(derive(seed, "subset") % 2**32), np.empty(len(train))
    for label, count in zip(*np.unique(train.labels, return_counts=True), strict=True):
        order = random.permutation(count)
        of_class = np.where(
            order == 0, -1, (order + random.rand()) / count
        )  # the first of each before all others
        place[train.labels == label] = of_class
    rows = np.sort(np.argsort(place, kind="stable")[:size])
    return Split(ShardedArray([train.images[rows]]), train.labels[rows])


def mixed(real: Split, synthetic: Split) -> Split:
    """Return both, the fewer repeated until they are as many as the others."""
    assert real.labels is not None and synthetic.labels is not None
    n = max(len(real), len(synthetic))
    rows = np.concatenate([np.arange(n) % len(real), len(real) + np.arange(n) % len(synthetic)])
    images = ShardedArray([*real.images.arrays, *synthetic.images.arrays])
    labels = np.concatenate([real.labels, synthetic.labels])
    return Split(Subset(images, rows), labels[rows])


def correct(network: SmallNetwork, test: Split) -> np.ndarray:
    """Return whether each test image is classified correctly, (T,) bool."""
    assert test.labels is not None
    predictions = []
    with torch.inference_mode():
        for start in range(0, len(test), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(test)))
            images = torch.from_numpy(np.ascontiguousarray(test.images[rows]))
            logits = network.logits(network(prepare_own(images, network.recipe.resize)))
            predictions.append(logits.argmax(1).numpy() == test.labels[rows])
    return np.concatenate(predictions)


def accuracy(values: np.ndarray) -> Accuracy:
    """Return the mean of values (seeds, test images) with its bootstrap interval over both."""
    random, (seeds, n) = np.random.RandomState(0), values.shape
    means = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        of_seeds = values[random.randint(seeds, size=seeds)].mean(0)
        means[i] = of_seeds[random.randint(n, size=n)].mean()
    low, high = np.percentile(means, [2.5, 97.5])
    return Accuracy(value=float(values.mean()), low=float(low), high=float(high))
