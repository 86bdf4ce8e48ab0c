"""Features -> judged numbers, each with its floor, its interval, and its recipe.

A reference is made once per data set and extractor: the features of all its images, none of them augmented,
and the floors: what real images score against real images, which no generator should beat.
What selects looks at validation (components/selection.py); what is reported looks at test.

    reference.json                     the data, the extractor, the floors
    features/<split>.npy               (N, D) float32, memory-mapped when read
    labels/<split>.npy                 (N,) int64, where the data has classes
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from components import comparable
from components.data.card import DataCard
from components.data.dataset import Chosen, open_split
from components.distances import (
    Estimate,
    frechet_estimate,
    frechet_unbiased,
    kid_estimate,
)
from components.errors import InputError
from components.extractors import accuracy_on, train_classifier
from components.features import Extractor, load_extractor
from components.metrics import (
    backslide,
    class_means,
    closeness,
    inception_score,
    manifold,
    mean_estimate,
    memorised,
    nearest,
    rank_by,
    share,
)
from components.retrieval import TOP, chance, ranks, retrieval
from components.sampling import CHUNK
from components.selection import ENOUGH

__all__ = [
    "Judged",
    "Reference",
    "describe",
    "judge",
    "judge_pairs",
    "judge_retrieval",
    "neighbours",
    "rank_by",
    "stability",
]

Metric = dict[str, Any]
"""One judged number: value, low, high (95 %), interval (how they came about), floor, n, extractor,
extractor_hash, split, better, recipe and its comparability key; a note where it needs a warning, classes
where it is a mean over them."""

SCHEMA = 2
ROUNDING = "uint8, x * 127.5 + 127.5 rounded to nearest even"  # dataset.py:to_uint8, on both sides
CHOICE_SEED = 0  # of the real images that are compared with
FEWEST = 8  # images that can be judged at all
TINY = 1e-12  # below any distance or error; keeps logarithms finite
CLASSIFIER_STEPS, CLASSIFIER_SEED = (
    400,
    0,
)  # of the classification accuracy score, on generated and on real images

RETRIEVAL = f"retrieval_top{TOP}"
AS_THEY_ARE = "as they are"  # as components/data/outside.py says of images that need no preparation

JACKKNIFE = (
    "jackknife over groups left out of both sides, no image counts twice; of a share at least Wilson's"
)
BOOTSTRAP = "bootstrap of the mean over images"
WILSON = "Wilson score interval of a share"
ACROSS = "jackknife within each class, classes taken as independent"
INTERVALS = {  # of names that are not a jackknife's
    **dict.fromkeys(("mse", "mae", "psnr", "ssim", "lpips"), BOOTSTRAP),
    **dict.fromkeys(("label_accuracy", "classification_accuracy", "memorised", RETRIEVAL), WILSON),
    **dict.fromkeys(("class_kid", "class_fid", "class_frechet_distance"), ACROSS),
}
HIGHER = frozenset(
    ("precision", "recall", "density", "coverage", "inception_score", "classifier_score", "label_accuracy")
    + ("classification_accuracy", "psnr", "ssim", RETRIEVAL)
)
# What a measure that brings its own network sees by.
SEEN: dict[str, dict[str, Any]] = {"lpips": {"trunk": "torchvision alexnet-owt-7be5be79"}}
PERFECT = {"mse": 0.0, "mae": 0.0, "ssim": 1.0, "lpips": 0.0, "r_kid": 0.0}  # floors of reconstructions


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
class Judged(Sample):
    """Images to be judged, and how they came about."""

    images: Any = None  # rows of uint8 (N, C, H, W), where a classifier is to be trained on them
    seeds: str = comparable.INDEPENDENT
    preparation: str = AS_THEY_ARE


@dataclass(frozen=True)
class Reference:
    """What images are compared with."""

    extractor: Extractor
    splits: dict[str, Sample]
    info: dict[str, Any]  # reference.json
    data: Path  # the prepared data set

    @classmethod
    def read(cls, folder: Path, extractor: Path, data: Path) -> Reference:
        """The reference in `folder`; `extractor` and `data` are the folders it was made with."""
        path = Path(folder) / "reference.json"
        if not path.is_file():
            raise InputError(
                f"{folder}: no reference here (reference.json is missing); run the reference stage first"
            )
        info = json.loads(path.read_text())
        splits = {split: read_sample(Path(folder), split) for split in info["images"]}
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
        return min(len(self.splits[split]), len(self.splits[beside(split)]))

    def floors(self, split: str, n: int) -> dict[str, float]:
        """What `n` real images of another split score against `n` of this one."""
        known = self.info.get("floors", {}).get(split, {}).get(str(n))
        return known or floors(self, split, n)

    @property
    def closest(self) -> float:
        """The distance to the nearest training image up to which a sample counts as memorised."""
        found: float = self.info["closest"]
        return found

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


def beside(split: str) -> str:
    """The split whose real images show what is possible against `split`."""
    return "test" if split == "train" else "train"


# The reference


def describe(data: Path, folder: Path, extractor: Path, samples: int) -> dict[str, Any]:
    """Complete the reference in `folder`, where features lie already, with reference.json; returns that."""
    card = DataCard.read(data)
    for split in card.counts:
        if len(np.load(folder / "features" / f"{split}.npy", mmap_mode="r")) < FEWEST:
            count = f"data set {card.name} has only {card.counts[split]} {split} images"
            raise InputError(f"{count}; at least {FEWEST} are needed in each split to judge with")
        labels = open_split(data, split).labels
        if labels is not None:
            (folder / "labels").mkdir(exist_ok=True)
            np.save(folder / "labels" / f"{split}.npy", labels)
    info: dict[str, Any] = {
        "schema": SCHEMA,
        "data": card.model_dump(include={"name", "title", "resolution", "channels", "labels"})
        | {"hash": card.hash},
        "images": card.counts,
    }
    splits = {split: read_sample(folder, split) for split in card.counts}
    ref = Reference(load_extractor(extractor), splits, info, data)
    n, info["closest"] = min(samples, ref.most("test")), closeness(ref.to_train("test"))
    info |= {
        "extractor": ref.extractor.described,
        "n": n,
        "floors": {"test": {str(n): floors(ref, "test", n)}},
    }
    (folder / "reference.json").write_text(json.dumps(info, indent=1, allow_nan=False))
    return info


def floors(ref: Reference, split: str, n: int, *, train: bool = True) -> dict[str, float]:
    """What real images score: `n` of another split against `n` of `split`; of reconstructions, perfection.

    Without `train`, not what takes a network to be trained.
    """
    real, other = ref.real(split, n), ref.real(beside(split), n)
    found = {name: e.value for name, e in estimates(ref, real, other).items()}
    held_out = "validation" if split != "validation" else "test"  # closeness was calibrated on test
    found["memorised"] = memorised(ref.to_train(held_out), ref.closest).value
    if real.labels is None:
        return found
    classes = by_class(ref.extractor, real, other)
    found |= {name: class_means(list(each.values())).value for name, each in classes.items()}
    if ref.extractor.classes == "own":
        found["label_accuracy"] = _right(ref.extractor, ref.splits[split]) / len(ref.splits[split])
    if train:
        images, rows = open_split(ref.data, beside(split)).images, choose(len(ref.splits[beside(split)]), n)
        found["classification_accuracy"] = _classified(ref, images, other.labels, rows, split).value
    return found


# Generated images against a split


def judge(judged: Judged, ref: Reference, split: str = "test") -> dict[str, Metric]:
    """Every measure that these images and this extractor allow, n images on both sides.

    n is the number of judged images, or what the data set has to compare with if that is fewer.

    Raises:
        InputError: there are too few images.
    """
    check_count(len(judged))
    n = min(len(judged), ref.most(split))
    rows, real, known = choose(len(judged), n), ref.real(split, n), ref.floors(split, n)
    fake = Sample(judged.features, judged.labels)[rows]
    found = estimates(ref, real, fake)
    recipe = Recipe(ref, judged, split, n)
    metrics = {name: recipe.metric(name, e, floor=known.get(name)) for name, e in found.items()}
    distances = nearest(fake.features, ref.splits["train"].features)[1]
    metrics["memorised"] = recipe.metric(
        "memorised",
        memorised(distances, ref.closest),
        floor=known["memorised"],
        n_real=len(ref.splits["train"]),
        split="train",
    )
    if fake.labels is not None and real.labels is not None:
        metrics |= _conditional(judged, ref, recipe, real, fake, known, rows)
    return warned(metrics, ref, n)


def _conditional(
    judged: Judged,
    ref: Reference,
    recipe: Recipe,
    real: Sample,
    fake: Sample,
    known: Mapping[str, float],
    rows: np.ndarray,
) -> dict[str, Metric]:
    """What only images of asked-for classes allow."""
    metrics: dict[str, Metric] = {}
    if ref.extractor.classes == "own":
        right = share(_right(ref.extractor, fake), len(fake))
        metrics["label_accuracy"] = recipe.metric("label_accuracy", right, floor=known.get("label_accuracy"))
    names = ref.info["data"]["labels"]
    for name, classes in by_class(ref.extractor, real, fake).items():
        told = {names[c]: e.value for c, e in classes.items()}
        mean = class_means(list(classes.values()))
        metrics[name] = recipe.metric(name, mean, floor=known.get(name)) | {"classes": told}
    if judged.images is not None:
        name, of = "classification_accuracy", len(ref.splits[recipe.split])
        score = _classified(ref, judged.images, fake.labels, rows, recipe.split)
        extra: dict[str, Any] = {"by_extractor": False, "n_real": of, "steps": CLASSIFIER_STEPS}
        metrics[name] = recipe.metric(name, score, floor=known.get(name), **extra)
    return metrics


def estimates(ref: Reference, real: Sample, fake: Sample) -> dict[str, Estimate]:
    """All measures of two sets of features of the same size, `fake` judged against `real`."""
    extractor, x, y = ref.extractor, real.features, fake.features
    frechet = extractor.frechet_name
    found = {frechet: frechet_estimate(x, y), "kid": kid_estimate(x, y)}
    found[f"{frechet}_unbiased"] = frechet_unbiased(x, y)
    found |= manifold(x, y)
    if extractor.classes == "own":
        found["classifier_score"] = inception_score(extractor.logits_of(y))
    if extractor.classes == "imagenet" and ref.info["data"]["channels"] == 3:  # no grey photograph is known
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


def _right(extractor: Extractor, sample: Sample) -> int:
    """How many images the extractor's own classifier takes for what they are, or were asked to be."""
    return int((extractor.logits_of(np.asarray(sample.features)).argmax(1) == sample.labels).sum())


def _classified(
    ref: Reference, images: Any, labels: np.ndarray | None, rows: np.ndarray, split: str
) -> Estimate:
    """How well a classifier that saw only images[rows], of classes `labels`, does on real ones of `split`.

    The classification accuracy score, Ravuri & Vinyals 2019, https://arxiv.org/abs/1905.10887, Sec. 3; with
    the same number of steps whatever it is trained on.
    """
    assert labels is not None
    order = np.argsort(rows)  # in file order: they are memory-mapped
    network = train_classifier(
        Chosen(images, rows[order]),
        labels[order],
        len(ref.info["data"]["labels"]),
        steps=CLASSIFIER_STEPS,
        seed=CLASSIFIER_SEED,
        threads=torch.get_num_threads(),
    )
    return share(*accuracy_on(network, open_split(ref.data, split)))


def judge_retrieval(
    judged: Judged, asked: np.ndarray, names: np.ndarray, ref: Reference, split: str = "test"
) -> dict[str, Metric]:
    """Whether images drawn for held-out captions are nearest to the real images of these captions.

    Args:
        judged: of the images that were drawn.
        asked: (N,) the caption of each, as a number.
        names: (M,) those of all real images of the split.
        ref: the reference.
        split: where the captions are from.
    """
    n, real = len(judged), ref.splits[split].features
    recipe = Recipe(ref, judged, split, n)
    found = retrieval(ranks(judged.features, asked, real, names))
    told: dict[str, Any] = {"top": TOP, "ties": "as misses", "baseline": "chance", "n_real": len(names)}
    return {RETRIEVAL: recipe.metric(RETRIEVAL, found, floor=chance(asked, names), **told)}


# Pairs


def judge_pairs(
    judged: Judged, values: Mapping[str, np.ndarray], ref: Reference, split: str = "test"
) -> dict[str, Metric]:
    """How close images come to their own targets: the first N of the split, row by row.

    Distances compare an image's features with those of its own target in the set, so a perfect family scores
    0, which is their floor.

    Args:
        judged: of the images that were made.
        values: per image, (N,): mse, mae, psnr, ssim, and lpips where it is at hand.
        ref: the reference.
        split: where the targets lie.
    """
    n = len(judged)
    check_count(n)
    real = np.asarray(ref.splits[split].features[:n])
    recipe = Recipe(ref, judged, split, n, {"pairs": "image i with its own target, the first n of the split"})
    metrics = {
        name: recipe.metric(
            name, mean_estimate(each), floor=PERFECT.get(name), by_extractor=False, **SEEN.get(name, {})
        )
        for name, each in values.items()
    }
    frechet = "rfid" if ref.extractor.frechet_name == "fid" else f"r_{ref.extractor.frechet_name}"
    close = kid_estimate(real, judged.features, paired=True)
    distance = frechet_estimate(real, judged.features)
    metrics["r_kid"] = recipe.metric("r_kid", close, floor=0.0)
    metrics[frechet] = recipe.metric(frechet, distance, floor=0.0)
    return warned(metrics, ref, n)


# One number


@dataclass(frozen=True)
class Recipe:
    """How the numbers of one judgement are measured: what all their comparability keys have in common."""

    ref: Reference
    judged: Judged
    split: str
    n: int
    more: Mapping[str, Any] | None = None

    def metric(
        self,
        name: str,
        estimate: Estimate,
        *,
        floor: float | None,
        by_extractor: bool = True,
        n_real: int | None = None,
        split: str | None = None,
        **more: Any,
    ) -> Metric:
        """A number with all that says what it means."""
        seen = self.ref.extractor.described if by_extractor else {}
        recipe = {
            "schema": SCHEMA,
            "metric": name,
            "extractor": seen.get("name"),
            "extractor_hash": seen.get("hash"),
            "data_set": self.ref.info["data"]["name"],
            "data": self.ref.info["data"]["hash"],
            "split": split or self.split,
            "choice": CHOICE_SEED,
            "n": self.n,
            "n_real": n_real or self.n,
            "preparation": self.judged.preparation,
            "resize": seen.get("preparation"),
            "rounding": ROUNDING,
            "chunk": CHUNK,
            "seeds": self.judged.seeds,
            **(self.more or {}),
            **more,
        }
        return {
            "value": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "interval": None if estimate.low is None else INTERVALS.get(name, JACKKNIFE),
            "floor": floor,
            "n": self.n,
            "extractor": recipe["extractor"],
            "extractor_hash": recipe["extractor_hash"],
            "split": recipe["split"],
            "better": "higher" if name in HIGHER else "lower",
            "recipe": recipe,
            "comparability": comparable.key(recipe),
        }


def warned(metrics: dict[str, Metric], ref: Reference, n: int) -> dict[str, Metric]:
    """The same, with a note on each number that n images for so many features make doubtful."""
    for name, metric in metrics.items():
        frechet = "fid" in name or "frechet" in name
        images = min((n // len(ref.info["data"]["labels"]), n)) if "classes" in metric else n
        instead = name.replace(ref.extractor.frechet_name, "kid").replace("rfid", "r_kid")
        if name.endswith("_unbiased") and n < 4 * ENOUGH * ref.dim:
            metric["note"] = f"rough: it extrapolates from {n // 4:,} images for {ref.dim:,} features"
        elif frechet and images < ENOUGH * ref.dim:
            metric["note"] = f"mostly bias: {images:,} images for {ref.dim:,} features; rank by {instead}"
    return metrics


def check_count(n: int, what: str = "images") -> None:
    """Refuse to judge next to nothing."""
    if n < FEWEST:
        raise InputError(f"only {n} {what} to judge; at least {FEWEST} are needed")


# Memorisation, to look at


def neighbours(features: np.ndarray, ref: Reference) -> dict[str, Any]:
    """The nearest training image of each of some published samples, and which of them count as memorised."""
    rows, distances = nearest(features, ref.splits["train"].features)
    return {
        "rows": rows.tolist(),
        "distances": [float(f"{d:.4g}") for d in distances],
        "closest": ref.closest,
        "memorised": np.flatnonzero(distances <= ref.closest).tolist(),
    }


# Through training


def stability(points: Sequence[dict[str, float]], key: str = "frechet_distance") -> dict[str, Any]:
    """How steadily a training improved: the MEASURED stability of the comparison table.

    On the logarithm of the curve, so that a relative loss late in training counts as much as one at its
    start, where distances are a hundred times larger.

    Args:
        points: A curve, in the order of training.
        key: The positive, lower-is-better column that is judged: frechet_distance, or mse for
        reconstructions.

    Returns:
        backslide: Sum of the rises / sum of the falls of the curve, in [0, 1]. 0: no snapshot was worse than
            the one before; near 1: what was gained was lost again (oscillation). Snapshots of few images are
            noisy, which adds small rises and falls to every family alike.
        kept: (first - last) / (first - best), in [0, 1]: the share of the best improvement that was still
            there at the end. 1: the last snapshot is the best; 0: it is no better than the first.
        best_step: Where the curve is lowest.
        snapshots: How many there were; with fewer than three, backslide and kept are None.
    """
    values = [math.log(max(float(point[key]), TINY)) for point in points]
    result: dict[str, Any] = {
        "backslide": None,
        "kept": None,
        "best_step": None,
        "snapshots": len(values),
        "of": key,
    }
    if values:
        result["best_step"] = points[int(np.argmin(values))]["step"]
    if len(values) >= 3:
        gained = values[0] - min(values)
        kept = (values[0] - values[-1]) / gained if gained > 0 else 0.0
        result |= {"backslide": backslide(values), "kept": float(np.clip(kept, 0, 1))}
    return result
