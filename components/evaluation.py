"""Images -> judged numbers, each with its floor, its interval, and a hash that says what it compares with.

A reference is made once per data set: the extractor and the features of real images, none of them augmented.
What selects (curves through training) looks at validation; what is reported looks at test.

    reference.json                     the data, the extractor, the floors
    extractor/                         components/features.py
    features/<split>.npy               (N, D) float32; of train only as many as a floor needs
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.config import Evaluate
from components.data.card import DataCard
from components.data.dataset import Shards, Split, open_split
from components.errors import InputError
from components.features import (
    CHUNK,
    Extractor,
    adopt_inception,
    check_images,
    load_extractor,
    train_extractor,
)
from components.metrics import (
    Estimate,
    backslide,
    frechet_distance,
    kid,
    kid_estimate,
    mse,
    psnr,
    rank_by,
    share,
    squared_errors,
    statistics,
)
from components.threads import using_threads

__all__ = ["Reference", "curve", "judge", "judge_reconstruction", "rank_by", "reference", "stability"]

Metric = dict[str, Any]
"""One judged number: value, low, high, floor, n, extractor, extractor_hash, split, better, comparability, and
a note where the number needs a warning."""

SCHEMA = 1
ROUNDING = "uint8, x * 127.5 + 127.5 rounded to nearest even"  # dataset.py:to_uint8, on both sides
CHOICE_SEED = 0  # of the real images that are compared with
# Not settings: experiments on the same data then share an extractor and compare. Threads change its bits.
EXTRACTOR_SEED, EXTRACTOR_THREADS = 0, 1
ENOUGH = 2  # times the feature dimension: with fewer images a Frechet distance is mostly bias
FEWEST = 8  # images that can be judged at all
TINY = 1e-12  # below any distance or error; keeps logarithms finite


@dataclass(frozen=True)
class Reference:
    """What generated images are compared with."""

    extractor: Extractor
    features: dict[str, np.ndarray]  # by split, (N, D)
    info: dict[str, Any]  # reference.json

    @classmethod
    def read(cls, folder: Path) -> Reference:
        """The reference in `folder`."""
        folder = Path(folder)
        if not (folder / "reference.json").is_file():
            raise InputError(
                f"{folder}: no reference here (reference.json is missing); run the reference stage first"
            )
        info = json.loads((folder / "reference.json").read_text())
        features = {split: np.load(folder / "features" / f"{split}.npy") for split in info["images"]}
        return cls(load_extractor(folder / "extractor"), features, info)

    def real(self, split: str, n: int | None = None) -> np.ndarray:
        """Features of `n` real images of a split: always the same ones; those for fewer are among them."""
        features = self.features[split]
        return features[choose(len(features), len(features) if n is None else n)]

    def check(self, images: Any, what: str = "images", fewest: int = FEWEST) -> np.ndarray:
        """`images` as uint8 (N, C, H, W) of the shape of the data set."""
        array, data = check_images(images), self.info["data"]
        if array.shape[1:] != (data["channels"], data["resolution"], data["resolution"]):
            wanted = f"{data['channels']}x{data['resolution']}x{data['resolution']}"
            found = "x".join(map(str, array.shape[1:]))
            raise InputError(
                f"{what} are {found} (channels, height, width); data set {data['name']} has {wanted}"
            )
        if len(array) < fewest:
            raise InputError(f"only {len(array)} {what} to judge; at least {fewest} are needed")
        return array


def choose(length: int, n: int) -> np.ndarray:
    """`n` of `length` positions: a fixed choice, of which smaller ones are the beginning."""
    return np.random.RandomState(CHOICE_SEED).permutation(length)[:n]  # a stream that numpy never changes


def reference(data: Path, out: Path, settings: Evaluate, threads: int = 1) -> dict[str, Any]:
    """Make the reference of the data set in `data`: extractor, real features, floors; returns its JSON."""
    card, out = DataCard.read(data), Path(out)
    splits = {name: _open(card, data, name) for name in ("train", "validation", "test")}
    n = min(settings.samples, len(splits["test"]), len(splits["train"]))
    extractor = _extractor(splits, out / "extractor", settings)
    with using_threads(threads):
        features = _real_features(extractor, splits, n, out / "features")
        accuracy = _accuracy(extractor, splits["test"])
    info = _describe(card, extractor, features, n, accuracy)
    _write_whole(out / "reference.json", info)
    return info


def _open(card: DataCard, data: Path, name: str) -> Split:
    split = open_split(data, name)
    if len(split) < FEWEST:
        count = f"data set {card.name} has only {len(split)} {name} images"
        raise InputError(f"{count}; at least {FEWEST} are needed in each split to judge with")
    return split


def _extractor(splits: dict[str, Split], out: Path, settings: Evaluate) -> Extractor:
    kind = settings.extractor
    if kind == "auto":
        kind = "rotation" if splits["train"].labels is None else "classifier"
    if kind not in ("classifier", "rotation", "inception"):
        raise InputError(
            f"evaluate.extractor={kind!r} is unknown; accepted: auto, classifier, rotation, inception"
        )
    if kind == "inception":
        adopt_inception(settings.inception_path, out)
    else:
        epochs = settings.extractor_epochs
        train_extractor(
            splits["train"], splits["validation"], out, kind, epochs, EXTRACTOR_SEED, EXTRACTOR_THREADS
        )
    return load_extractor(out)


def _real_features(
    extractor: Extractor, splits: dict[str, Split], n: int, out: Path
) -> dict[str, np.ndarray]:
    """Features of all validation and test images and of `n` training images, which a floor is made with."""
    out.mkdir(parents=True, exist_ok=True)
    rows = {name: np.arange(len(split)) for name, split in splits.items()}
    rows["train"] = choose(len(splits["train"]), n)
    features = {name: _split_features(extractor, splits[name].images, rows[name]) for name in splits}
    for name, values in features.items():
        np.save(out / f"{name}.npy", values)
    return features


def _split_features(extractor: Extractor, images: Shards, rows: np.ndarray) -> np.ndarray:
    """A few chunks at a time, so that a large split is never in memory."""
    parts = np.split(rows, range(10 * CHUNK, len(rows), 10 * CHUNK))
    return np.concatenate([extractor(images[part]) for part in parts])


def _accuracy(extractor: Extractor, test: Split) -> float | None:
    """How often the classifier is right on real test images; None: this extractor knows no classes."""
    if extractor.name != "classifier" or test.labels is None:
        return None
    parts = np.split(np.arange(len(test)), range(10 * CHUNK, len(test), 10 * CHUNK))
    right = sum(int((extractor.logits(test.images[p]).argmax(1) == test.labels[p]).sum()) for p in parts)
    return right / len(test)


def _describe(
    card: DataCard,
    extractor: Extractor,
    features: dict[str, np.ndarray],
    n: int,
    accuracy: float | None,
) -> dict[str, Any]:
    info = {
        "schema": SCHEMA,
        "data": card.model_dump(include={"name", "title", "resolution", "channels", "labels"})
        | {"hash": card.hash},
        "extractor": extractor.info,
        "images": {split: len(values) for split, values in features.items()},
        "n": n,
        "rounding": ROUNDING,
        "classifier_accuracy": accuracy,
    }
    judge_of = Reference(extractor, features, info)
    return info | {
        "floor": {extractor.frechet_name: _floor(judge_of, n, "frechet"), "kid": _floor(judge_of, n, "kid")}
    }


def _floor(ref: Reference, n: int, distance: str) -> float:
    """The distance between `n` real training and `n` real test images: what a perfect generator scores."""
    train, test = ref.real("train", n), ref.real("test", n)
    return kid(train, test) if distance == "kid" else frechet_distance(statistics(train), statistics(test))


def judge(
    images: np.ndarray, reference: Path, *, labels: np.ndarray | None = None, prefix: str = ""
) -> dict[str, Metric]:
    """Distances of generated images to the test images, as many on both sides.

    Args:
        images: uint8 (N, C, H, W).
        reference: A folder made by `reference`.
        labels: (N,) what each image was asked to be; adds label_accuracy where the extractor is a classifier.
        prefix: Put before every name.
    """
    ref = Reference.read(reference)
    images = ref.check(images)
    n = min(len(images), ref.info["n"])
    features = ref.extractor(images)
    fake = features[choose(len(images), n)]
    metrics = _distances(ref, ref.real("test", n), fake, {}, floor=lambda distance: _floor(ref, n, distance))
    if labels is not None and ref.extractor.name == "classifier":
        metrics["label_accuracy"] = _label_accuracy(ref, features, labels)
    return {prefix + name: metric for name, metric in metrics.items()}


def _distances(
    ref: Reference,
    real: np.ndarray,
    fake: np.ndarray,
    compared: dict[str, Any],
    *,
    floor: Callable[[str], float],
    paired: bool = False,
) -> dict[str, Metric]:
    """KID and Frechet distance under the names they may have: `r...` for pairs, that is reconstructions."""
    n, dim, name_kid, name_frechet = len(fake), ref.extractor.dim, "kid", ref.extractor.frechet_name
    if paired:
        name_kid, name_frechet = "r_kid", "rfid" if name_frechet == "fid" else f"r_{name_frechet}"
    close = kid_estimate(real, fake, paired=paired)
    distance = Estimate(frechet_distance(statistics(real), statistics(fake)))
    metrics = {
        name_kid: metric(ref, name_kid, close, n, floor=floor("kid"), compared=compared),
        name_frechet: metric(ref, name_frechet, distance, n, floor=floor("frechet"), compared=compared),
    }
    if n < ENOUGH * dim:
        metrics[name_frechet]["note"] = f"mostly bias: {n} images for {dim} features; rank by {name_kid}"
    return metrics


def metric(
    ref: Reference,
    name: str,
    estimate: Estimate,
    n: int,
    *,
    floor: float | None = None,
    better: str = "lower",
    by_extractor: bool = True,
    split: str = "test",
    compared: dict[str, Any] | None = None,
) -> Metric:
    """A judged number with all that says what it means; `compared` goes only into the comparability hash."""
    extractor = ref.extractor if by_extractor else None
    recipe = {
        "schema": SCHEMA,
        "metric": name,
        "extractor": extractor and extractor.hash,
        "data": ref.info["data"]["hash"],
        "split": split,
        "choice": CHOICE_SEED,
        "n": n,
        "rounding": ROUNDING,
    } | (compared or {})
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "floor": floor,
        "n": n,
        "extractor": extractor and extractor.name,
        "extractor_hash": extractor and extractor.hash,
        "split": split,
        "better": better,
        "comparability": comparability(recipe),
    }


def comparability(recipe: dict[str, Any]) -> str:
    """16 hex that are equal for two numbers exactly when they may stand in one column."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]


def _label_accuracy(ref: Reference, features: np.ndarray, labels: np.ndarray) -> Metric:
    """The share of images the classifier takes for what was asked; `floor`: its share on real images."""
    labels = np.asarray(labels)
    n, floor = len(features), ref.info["classifier_accuracy"]
    if len(labels) != n:
        raise InputError(f"{n} images came with {len(labels)} labels; expected one each")
    right = int((ref.extractor.logits_of(features).argmax(1) == labels).sum())
    return metric(ref, "label_accuracy", share(right, n), n, floor=floor, better="higher")


def judge_reconstruction(
    originals: np.ndarray, reconstructions: np.ndarray, reference: Path
) -> dict[str, Metric]:
    """How close reconstructions come to their originals, in pixels and as sets of features.

    Both distances compare an image's features with those of its own original in the set, so that a perfect
    reconstruction scores 0, which is their floor.
    """
    ref = Reference.read(reference)
    originals = ref.check(originals, "originals")
    reconstructions = ref.check(reconstructions, "reconstructions")
    n = len(originals)
    if len(reconstructions) != n:
        raise InputError(f"{n} originals came with {len(reconstructions)} reconstructions; expected one each")
    compared = {"originals": hashlib.sha256(originals.tobytes()).hexdigest()}
    real, fake = ref.extractor(originals), ref.extractor(reconstructions)
    error, ratio = mse(originals, reconstructions), psnr(originals, reconstructions)
    return {
        "mse": metric(ref, "mse", error, n, floor=0.0, by_extractor=False, compared=compared),
        "psnr": metric(ref, "psnr", ratio, n, better="higher", by_extractor=False, compared=compared),
        **_distances(ref, real, fake, compared, floor=lambda _: 0.0, paired=True),
    }


def curve(
    grids: Iterable[tuple[int, np.ndarray]], reference: Path, *, originals: np.ndarray | None = None
) -> list[dict[str, float]]:
    """The quality of the sample grids of a training: step, kid, frechet_distance; mse given originals.

    Against ALL validation features: a curve may select, so it never sees the test images. Not comparable with
    reported numbers, nor with grids of another size: the Frechet distance of few images is mostly bias.
    Empty where a grid is a single image, which has no distance.

    Args:
        grids: Steps with uint8 (K, C, H, W).
        reference: A folder made by `reference`.
        originals: uint8 (K, C, H, W) that the images of every grid reconstruct.
    """
    ref = Reference.read(reference)
    real = ref.real("validation")
    summary = statistics(real)
    points = []
    for step, images in grids:
        if len(images) == 1:
            return []
        fake = ref.extractor(ref.check(images, fewest=2))
        distance = frechet_distance(summary, statistics(fake))  # of a grid: never FID, whatever the extractor
        points.append({"step": step, "kid": kid(real, fake), "frechet_distance": distance})
        if originals is not None:
            points[-1]["mse"] = float(squared_errors(originals, images).mean())
    return points


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


def _write_whole(path: Path, value: dict[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=1, allow_nan=False))
    os.replace(temporary, path)
