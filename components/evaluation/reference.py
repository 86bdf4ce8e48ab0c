"""The reference of an evaluation: features and baselines of real images."""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from components.common.arrays import open_array
from components.common.errors import InputError
from components.data.card import DatasetCard
from components.data.dataset import Subset, open_split
from components.evaluation import comparability
from components.evaluation.comparability import MIN_IMAGES, other_split
from components.extractors.extractor import Extractor
from components.extractors.kinds import LEAST_STEPS
from components.extractors.load import load_extractor
from components.extractors.small import TURNS, accuracy_on, train_classifier
from components.metrics.distances import Estimate, frechet_estimate, frechet_unbiased, kid_estimate
from components.metrics.inception_score import class_means, confident_rate, inception_score
from components.metrics.intervals import share
from components.metrics.manifold import closeness, manifold, memorised, nearest
from components.records.evaluation import RealBaselines, ReferenceData, ReferenceInfo
from components.records.extractor import ExpectedExtractor
from components.store import Store
from components.store.errors import MISSING_OR_TORN
from components.store.lease import lease

# As data/external.py has it; an import of that module would make evaluations depend on how pictures are read.
AS_THEY_ARE = "as they are"
SCHEMA = 2

CHOICE_SEED = 0  # of the choice of real images


CLASSIFIER_SEED = 0  # of the classification accuracy score


@dataclass(frozen=True)
class Sample:
    """Features of some images, with their labels."""

    features: np.ndarray  # (N, D)
    labels: np.ndarray | None = None  # (N,)

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, rows: np.ndarray) -> Sample:
        chosen = self.features[rows]
        if mapped := getattr(self.features, "_mmap", None):  # or its pages would count as memory in use
            mapped.madvise(mmap.MADV_DONTNEED)
        return Sample(chosen, None if self.labels is None else self.labels[rows])


@dataclass(frozen=True)
class EvaluationSample(Sample):
    """Features of images to evaluate, with the origin of the images."""

    images: Any = None  # uint8 (N, C, H, W), for training a classifier on them
    seeds: str = comparability.INDEPENDENT
    preparation: str = AS_THEY_ARE


@dataclass(frozen=True)
class Reference:
    """The real images of a data set, as features, with their baselines."""

    extractor: Extractor
    splits: dict[str, Sample]
    info: ReferenceInfo
    data: Path  # the prepared data set
    computed: Store | None = None  # real baselines that are not in `info`

    @classmethod
    def read(
        cls, folder: Path, extractor: Path, data: Path, expected: ExpectedExtractor | None = None
    ) -> Reference:
        """Read the reference in `folder`, made with `extractor` and `data`; see `load_extractor`."""
        path = Path(folder) / "reference.json"
        if not path.is_file():
            raise InputError(
                f"{folder}: no reference here (reference.json is missing); run the reference stage first"
            )
        info = ReferenceInfo.model_validate_json(path.read_bytes())
        splits = {split: read_sample(Path(folder), split) for split in info.images}
        return cls(load_extractor(Path(extractor), expected), splits, info, Path(data))

    @property
    def dim(self) -> int:
        """The dimension D of the features."""
        return self.extractor.dim

    def real(self, split: str, n: int) -> Sample:
        """Return `n` real images of a split: a fixed choice that includes the choices for fewer."""
        sample = self.splits[split]
        return sample[choose(len(sample), n)]

    def most(self, split: str) -> int:
        """Return the largest n with n real images in the split and n others for the baseline."""
        return min(len(self.splits[split]), len(self.splits[other_split(split)]))

    def real_baselines(self, split: str, n: int, *, train: bool = True) -> Mapping[str, float]:
        """Return the metrics of `n` real images of another split, evaluated against `n` of this one.

        They are computed once in a store. Without `train`, the classification accuracy score may be missing,
        for which a network is trained: only samples with labels need it.
        """
        train &= self.splits[split].labels is not None
        stored = self.info.real_baselines.get(split, {}).get(str(n), {})
        if stored and ("cas" in stored or not train):
            return stored
        if self.computed is None:
            return completed(self, split, n, stored, train=train)
        name = f"{split}-{n}-trained" if train else f"{split}-{n}"
        with lease(self.computed, name):  # whoever needs the same waits
            if earlier := read_baselines(self.computed, f"{name}.json"):
                return earlier.values
            values = completed(self, split, n, stored, train=train)
            self.computed.write_json(f"{name}.json", RealBaselines(values=values).to_json())
        return values

    def accuracy(self, split: str) -> float | None:
        """Return the share of a split's images whose class the extractor recognises; None without classes."""
        sample = self.splits[split]
        if self.extractor.classes != "own" or sample.labels is None:
            return None
        return correct_labels(self.extractor, sample) / len(sample)

    @property
    def closest(self) -> float:
        """The distance to the nearest training image up to which a sample counts as memorised."""
        return self.info.closest

    @cached_property
    def doubt(self) -> str | None:
        """The reason to doubt all metrics of the extractor's features: it is not clearly better than chance.

        Of a trained extractor, the lower Wilson limit of its accuracy on validation must be above the share
        of the largest class, which always answering that class would reach.
        """
        sample, config = self.splits["validation"], self.extractor.config
        n, chance, task = len(sample), 1 / TURNS, "rotations"
        if self.extractor.classes == "own":
            correct, task = correct_labels(self.extractor, sample), "classes"
            chance = float(np.bincount(sample.labels).max()) / n if sample.labels is not None else 0.0
        elif self.extractor.name == "rotation" and config and config.accuracy is not None:
            correct = round(config.accuracy * n)
        else:
            return None
        accuracy = share(correct, n)
        if accuracy.low is not None and accuracy.low > chance:
            return None
        return (
            f"meaningless: the extractor cannot tell the {task}; it is right for {accuracy.value:.1%} of "
            f"{n:,} validation images, chance for {chance:.1%}"
        )

    def to_train(self, split: str) -> np.ndarray:
        """Return the distance of each image of a split to its nearest training image, (N,)."""
        return nearest(self.splits[split].features, self.splits["train"].features)[1]


def read_baselines(store: Store, name: str) -> RealBaselines | None:
    """Return real baselines that an evaluation has left; None if there are none, or the file is damaged."""
    try:
        return RealBaselines.read(store.read_json(name))
    except MISSING_OR_TORN:
        return None


def read_sample(folder: Path, split: str) -> Sample:
    """Read a split of the reference in `folder`, memory-mapped."""
    labels = folder / "labels" / f"{split}.npy"
    features = open_array(folder / "features" / f"{split}.npy")
    return Sample(features, np.array(open_array(labels)) if labels.exists() else None)


def choose(length: int, n: int) -> np.ndarray:
    """Return `n` of `length` positions: a fixed choice that begins with the choices for fewer."""
    return np.random.RandomState(CHOICE_SEED).permutation(length)[:n]  # numpy guarantees this stream


def describe(
    data: Path,
    folder: Path,
    extractor: Path,
    samples: int,
    expected: ExpectedExtractor | None = None,
    classifier_steps: int = LEAST_STEPS,
    most: int | None = None,
) -> ReferenceInfo:
    """Complete the features in `folder` to a reference; return the contents of reference.json.

    The features are those of the first `most` images of each split; None: of all.
    """
    card = DatasetCard.read(data)
    for split in card.counts:
        if (count := len(open_array(folder / "features" / f"{split}.npy"))) < MIN_IMAGES:
            raise InputError(
                f"data set {card.name} has only {count} {split} images; at least {MIN_IMAGES} are needed in "
                "each split for evaluation"
            )
        labels = open_split(data, split).labels
        if labels is not None:
            (folder / "labels").mkdir(exist_ok=True)
            np.save(folder / "labels" / f"{split}.npy", labels[:count])
    described = card.model_dump(include={"name", "title", "resolution", "channels", "labels"})
    splits = {split: read_sample(folder, split) for split in card.counts}
    network = load_extractor(extractor, expected)
    info = ReferenceInfo(
        data=ReferenceData(**described, hash=card.hash),
        images={split: len(sample) for split, sample in splits.items()},
        most=most,
        closest=closeness(nearest(splits["test"].features, splits["train"].features)[1]),
        extractor=network.identity,
        n=0,
        classifier_steps=classifier_steps,
    )
    ref = Reference(network, splits, info, data)
    n = min(samples, ref.most("test"))
    info = info.model_copy(
        update={"n": n, "real_baselines": {"test": {str(n): real_baselines(ref, "test", n)}}}
    )
    content = {"schema": SCHEMA} | info.to_json()
    (folder / "reference.json").write_text(json.dumps(content, indent=1, allow_nan=False))
    return info


def completed(
    ref: Reference, split: str, n: int, stored: Mapping[str, float], *, train: bool
) -> dict[str, float]:
    """Return the real baselines of `n` images: `stored`, or else computed; with `train` also `cas`."""
    values = dict(stored) or real_baselines(ref, split, n)
    return values | ({"cas": real_classification_accuracy(ref, split, n)} if train else {})


def real_classification_accuracy(ref: Reference, split: str, n: int) -> float:
    """Return the classification accuracy score of `n` real images of another split; it trains a network."""
    other = other_split(split)
    images, rows = open_split(ref.data, other).images, choose(len(ref.splits[other]), n)
    return classification_accuracy(ref, images, ref.real(other, n).labels, rows, split).value


def real_baselines(ref: Reference, split: str, n: int) -> dict[str, float]:
    """Return the metrics of `n` real images of another split, evaluated against `n` of `split`.

    Without the classification accuracy score, for which a network is trained.
    """
    other = other_split(split)
    real, fake = ref.real(split, n), ref.real(other, n)
    values = {name: e.value for name, e in estimates(ref, real, fake).items()}
    if ref.extractor.classes == "own":  # the classifier is surer of its training images than of any others
        unseen = ref.real("test", n) if split == "train" else real
        values |= {name: e.value for name, e in classifier_scores(ref.extractor, unseen).items()}
    held_out = "validation" if split != "validation" else "test"  # `closest` was calibrated on test
    values["memorization_rate"] = memorised(ref.to_train(held_out), ref.closest).value
    if real.labels is None:
        return values
    classes = by_class(ref.extractor, real, fake)
    values |= {name: class_means(list(of_classes.values())).value for name, of_classes in classes.items()}
    if (accuracy := ref.accuracy(split)) is not None:
        values["conditional_accuracy"] = accuracy
    return values


def estimates(ref: Reference, real: Sample, fake: Sample) -> dict[str, Estimate]:
    """Return all set metrics of `fake` against the same number of features in `real`."""
    extractor, x, y = ref.extractor, real.features, fake.features
    frechet = extractor.frechet_name
    result = {frechet: frechet_estimate(x, y), "kid": kid_estimate(x, y)}
    result[f"{frechet}_infinity"] = frechet_unbiased(x, y)
    result |= manifold(x, y)
    if extractor.classes == "own":
        result |= classifier_scores(extractor, fake)
    if extractor.classes == "imagenet" and ref.info.data.channels == 3:  # ImageNet is in colour
        result["inception_score"] = inception_score(extractor.logits_of(y))
    return result


def classifier_scores(extractor: Extractor, fake: Sample) -> dict[str, Estimate]:
    """Return what the data set's own classifier says of the images, whatever their labels."""
    logits = extractor.logits_of(np.asarray(fake.features))
    return {"classifier_score": inception_score(logits), "confident_rate": confident_rate(logits)}


def by_class(extractor: Extractor, real: Sample, fake: Sample) -> dict[str, dict[int, Estimate]]:
    """Return class_kid and the class Frechet distance, by class with enough images on both sides."""
    assert real.labels is not None and fake.labels is not None
    result: dict[str, dict[int, Estimate]] = {"class_kid": {}, f"class_{extractor.frechet_name}": {}}
    for c in np.unique(real.labels):
        x, y = real.features[real.labels == c], fake.features[fake.labels == c]
        m = min(len(x), len(y))
        if m >= MIN_IMAGES:
            result["class_kid"][int(c)] = kid_estimate(x[:m], y[:m])
            result[f"class_{extractor.frechet_name}"][int(c)] = frechet_estimate(x[:m], y[:m])
    return {name: classes for name, classes in result.items() if classes}


def correct_labels(extractor: Extractor, sample: Sample) -> int:
    """Return the number of images whose label the extractor's own classifier predicts."""
    return int((extractor.logits_of(np.asarray(sample.features)).argmax(1) == sample.labels).sum())


def classification_accuracy(
    ref: Reference, images: Any, labels: np.ndarray | None, rows: np.ndarray, split: str
) -> Estimate:
    """Return the accuracy on real images of `split` of a classifier trained on images[rows] and `labels`.

    The classification accuracy score, Ravuri & Vinyals 2019, https://arxiv.org/abs/1905.10887, Sec. 3, with
    the same number of training steps for all images.
    """
    assert labels is not None
    order = np.argsort(rows)  # in file order, since images are memory-mapped
    network = train_classifier(
        Subset(images, rows[order]),
        labels[order],
        len(ref.info.data.labels or ()),
        steps=ref.info.classifier_steps,
        seed=CLASSIFIER_SEED,
        threads=torch.get_num_threads(),
    )
    return share(*accuracy_on(network, open_split(ref.data, split), len(ref.splits[split])))
