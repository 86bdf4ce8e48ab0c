"""The real images that samples are compared with, as an extractor sees them."""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from components.common.errors import InputError
from components.data.card import DatasetCard
from components.data.dataset import Subset, open_split
from components.evaluation import comparability
from components.extractors.extractor import Extractor
from components.extractors.load import load_extractor
from components.extractors.small import accuracy_on, train_classifier
from components.metrics.distances import Estimate, frechet_estimate, frechet_unbiased, kid_estimate
from components.metrics.inception_score import class_means, inception_score
from components.metrics.intervals import share
from components.metrics.manifold import closeness, manifold, memorised, nearest
from components.records.evaluation import ReferenceData, ReferenceInfo

SCHEMA = 2

CHOICE_SEED = 0  # of the real images that are compared with

FEWEST = 8  # images that can be judged at all

CLASSIFIER_STEPS, CLASSIFIER_SEED = (
    400,
    0,
)  # of the classification accuracy score, on generated and on real images

AS_THEY_ARE = "as they are"  # as components/data/external.py says of images that need no preparation


@dataclass(frozen=True)
class Sample:
    """Some images, as an extractor sees them."""

    features: np.ndarray  # (N, D)
    labels: np.ndarray | None = None  # (N,)

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, rows: np.ndarray) -> Sample:
        chosen = self.features[rows]
        if mapped := getattr(self.features, "_mmap", None):  # its pages would count as ours for no use
            mapped.madvise(mmap.MADV_DONTNEED)
        return Sample(chosen, None if self.labels is None else self.labels[rows])


@dataclass(frozen=True)
class EvaluationSample(Sample):
    """Images to be judged, and how they came about."""

    images: Any = None  # rows of uint8 (N, C, H, W), where a classifier is to be trained on them
    seeds: str = comparability.INDEPENDENT
    preparation: str = AS_THEY_ARE


@dataclass(frozen=True)
class Reference:
    """What images are compared with."""

    extractor: Extractor
    splits: dict[str, Sample]
    info: ReferenceInfo
    data: Path  # the prepared data set

    @classmethod
    def read(cls, folder: Path, extractor: Path, data: Path) -> Reference:
        """The reference in `folder`; `extractor` and `data` are the folders it was made with."""
        path = Path(folder) / "reference.json"
        if not path.is_file():
            raise InputError(
                f"{folder}: no reference here (reference.json is missing); run the reference stage first"
            )
        info = ReferenceInfo.model_validate_json(path.read_bytes())
        splits = {split: read_sample(Path(folder), split) for split in info.images}
        return cls(load_extractor(Path(extractor)), splits, info, Path(data))

    @property
    def dim(self) -> int:
        """D, of the features."""
        return self.extractor.dim

    def real(self, split: str, n: int) -> Sample:
        """`n` real images of a split: always the same ones; those for fewer are among them."""
        sample = self.splits[split]
        return sample[choose(len(sample), n)]

    def most(self, split: str) -> int:
        """The largest n that can be judged: as many real images, and as many others for the floor."""
        return min(len(self.splits[split]), len(self.splits[other_split(split)]))

    def real_baselines(self, split: str, n: int) -> Mapping[str, float]:
        """What `n` real images of another split score against `n` of this one."""
        measured = self.info.real_baselines.get(split, {}).get(str(n))
        return measured or real_baselines(self, split, n)

    @property
    def closest(self) -> float:
        """The distance to the nearest training image up to which a sample counts as memorised."""
        return self.info.closest

    def to_train(self, split: str) -> np.ndarray:
        """How far each image of a split is from its nearest training image, (N,)."""
        return nearest(self.splits[split].features, self.splits["train"].features)[1]


def read_sample(folder: Path, split: str) -> Sample:
    """A split of the reference in `folder`, memory-mapped."""
    labels = folder / "labels" / f"{split}.npy"
    features = np.load(folder / "features" / f"{split}.npy", mmap_mode="r")
    return Sample(features, np.load(labels) if labels.exists() else None)


def choose(length: int, n: int) -> np.ndarray:
    """`n` of `length` positions: a fixed choice, of which smaller ones are the beginning."""
    return np.random.RandomState(CHOICE_SEED).permutation(length)[:n]  # a stream that numpy never changes


def other_split(split: str) -> str:
    """The split whose real images show what is possible against `split`."""
    return "test" if split == "train" else "train"


def describe(data: Path, folder: Path, extractor: Path, samples: int) -> ReferenceInfo:
    """Complete the reference in `folder`, where features lie already, with reference.json; returns that."""
    card = DatasetCard.read(data)
    for split in card.counts:
        if len(np.load(folder / "features" / f"{split}.npy", mmap_mode="r")) < FEWEST:
            count = f"data set {card.name} has only {card.counts[split]} {split} images"
            raise InputError(f"{count}; at least {FEWEST} are needed in each split to judge with")
        labels = open_split(data, split).labels
        if labels is not None:
            (folder / "labels").mkdir(exist_ok=True)
            np.save(folder / "labels" / f"{split}.npy", labels)
    described = card.model_dump(include={"name", "title", "resolution", "channels", "labels"})
    splits = {split: read_sample(folder, split) for split in card.counts}
    network = load_extractor(extractor)
    info = ReferenceInfo(
        data=ReferenceData(**described, hash=card.hash),
        images=card.counts,
        closest=closeness(nearest(splits["test"].features, splits["train"].features)[1]),
        extractor=network.identity,
        n=0,
    )
    ref = Reference(network, splits, info, data)
    n = min(samples, ref.most("test"))
    info = info.model_copy(
        update={"n": n, "real_baselines": {"test": {str(n): real_baselines(ref, "test", n)}}}
    )
    content = {"schema": SCHEMA} | info.to_json()
    (folder / "reference.json").write_text(json.dumps(content, indent=1, allow_nan=False))
    return info


def real_baselines(ref: Reference, split: str, n: int, *, train: bool = True) -> dict[str, float]:
    """What real images score: `n` of another split against `n` of `split`; of reconstructions, perfection.

    Without `train`, not what takes a network to be trained.
    """
    real, other = ref.real(split, n), ref.real(other_split(split), n)
    found = {name: e.value for name, e in estimates(ref, real, other).items()}
    held_out = "validation" if split != "validation" else "test"  # closeness was calibrated on test
    found["memorization_rate"] = memorised(ref.to_train(held_out), ref.closest).value
    if real.labels is None:
        return found
    classes = by_class(ref.extractor, real, other)
    found |= {name: class_means(list(each.values())).value for name, each in classes.items()}
    if ref.extractor.classes == "own":
        found["conditional_accuracy"] = correct_labels(ref.extractor, ref.splits[split]) / len(
            ref.splits[split]
        )
    if train:
        images, rows = (
            open_split(ref.data, other_split(split)).images,
            choose(len(ref.splits[other_split(split)]), n),
        )
        found["cas"] = classification_accuracy(ref, images, other.labels, rows, split).value
    return found


def estimates(ref: Reference, real: Sample, fake: Sample) -> dict[str, Estimate]:
    """All measures of two sets of features of the same size, `fake` judged against `real`."""
    extractor, x, y = ref.extractor, real.features, fake.features
    frechet = extractor.frechet_name
    found = {frechet: frechet_estimate(x, y), "kid": kid_estimate(x, y)}
    found[f"{frechet}_infinity"] = frechet_unbiased(x, y)
    found |= manifold(x, y)
    if extractor.classes == "own":
        found["classifier_score"] = inception_score(extractor.logits_of(y))
    if extractor.classes == "imagenet" and ref.info.data.channels == 3:  # no grey photograph is known
        found["inception_score"] = inception_score(extractor.logits_of(y))
    return found


def by_class(extractor: Extractor, real: Sample, fake: Sample) -> dict[str, dict[int, Estimate]]:
    """Distances within each class that has images enough on both sides, class_kid and class_...: by class."""
    assert real.labels is not None and fake.labels is not None
    found: dict[str, dict[int, Estimate]] = {"class_kid": {}, f"class_{extractor.frechet_name}": {}}
    for c in np.unique(real.labels):
        x, y = real.features[real.labels == c], fake.features[fake.labels == c]
        m = min(len(x), len(y))
        if m >= FEWEST:
            found["class_kid"][int(c)] = kid_estimate(x[:m], y[:m])
            found[f"class_{extractor.frechet_name}"][int(c)] = frechet_estimate(x[:m], y[:m])
    return {name: classes for name, classes in found.items() if classes}


def correct_labels(extractor: Extractor, sample: Sample) -> int:
    """How many images the extractor's own classifier takes for what they are, or were asked to be."""
    return int((extractor.logits_of(np.asarray(sample.features)).argmax(1) == sample.labels).sum())


def classification_accuracy(
    ref: Reference, images: Any, labels: np.ndarray | None, rows: np.ndarray, split: str
) -> Estimate:
    """How well a classifier that saw only images[rows], of classes `labels`, does on real ones of `split`.

    The classification accuracy score, Ravuri & Vinyals 2019, https://arxiv.org/abs/1905.10887, Sec. 3; with
    the same number of steps whatever it is trained on.
    """
    assert labels is not None
    order = np.argsort(rows)  # in file order: they are memory-mapped
    network = train_classifier(
        Subset(images, rows[order]),
        labels[order],
        len(ref.info.data.labels or ()),
        steps=CLASSIFIER_STEPS,
        seed=CLASSIFIER_SEED,
        threads=torch.get_num_threads(),
    )
    return share(*accuracy_on(network, open_split(ref.data, split)))


def check_count(n: int, what: str = "images") -> None:
    """Refuse to judge next to nothing."""
    if n < FEWEST:
        raise InputError(f"only {n} {what} to judge; at least {FEWEST} are needed")
