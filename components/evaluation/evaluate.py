"""Compute metrics from features, each with its real baseline, interval and recipe.

A reference is made once per data set and extractor. It holds the features of all images, without
augmentation, and the real baselines: the metrics of real images, which no generator should beat.
Selection uses the validation split (components/evaluation/snapshot.py), reported metrics use the test split.

    reference.json                     the data, the extractor, the real baselines
    features/<split>.npy               (N, D) float32, memory-mapped when read
    labels/<split>.npy                 (N,) int64, where the data has classes
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.evaluation import comparability
from components.evaluation.comparability import check_count
from components.evaluation.metric import (
    METRIC_NETWORKS,
    PERFECT_VALUES,
    RETRIEVAL,
    Recipe,
    with_notes,
)
from components.evaluation.reference import (
    EvaluationSample,
    Reference,
    Sample,
    by_class,
    choose,
    classification_accuracy,
    correct_labels,
    describe,
    estimates,
)
from components.evaluation.stability import stability
from components.families.tasks import Task
from components.metrics.distances import Estimate, frechet_estimate, kid_estimate
from components.metrics.equivariance import decibel
from components.metrics.inception_score import class_means
from components.metrics.intervals import mean_estimate, share
from components.metrics.manifold import memorised, nearest
from components.metrics.retrieval import TOP, chance, ranks, retrieval
from components.records.evaluation import BACKWARD, Metrics, Neighbours

PAIRED = "image i with its own target, the first n of the split"
FEATURES = "feature_distance"
LUMA = "Y of BT.601, 16 to 235; of grey images the grey"

__all__ = [
    "EvaluationSample",
    "Reference",
    "describe",
    "backward",
    "evaluate_samples",
    "evaluate_backward",
    "evaluate_pairs",
    "evaluate_values",
    "evaluate_motions",
    "evaluate_retrieval",
    "neighbours",
    "stability",
]


def task_metrics(
    task: Task,
    samples: EvaluationSample,
    ref: Reference,
    split: str = "test",
    *,
    pairs: Mapping[str, np.ndarray] | None = None,
    captions: np.ndarray | None = None,
    caption_names: np.ndarray | None = None,
    border: int | None = None,
) -> Metrics:
    """Return the metrics of a task, and the distances to targets that only the evaluation sees.

    Args:
        task: selects the metrics.
        samples: the images to evaluate.
        ref: the reference.
        split: the split of the real images.
        pairs: (N,) values per metric, each for a sample and its target; for samples with targets.
        captions: (N,) the caption number of each sample, if the task has captions.
        caption_names: (M,) the caption numbers of all real images of the split.
        border: pixels at each side that luma was compared without.
    """
    metrics: Metrics = {}
    if "pairs" in task.metrics:
        metrics |= evaluate_pairs(samples, pairs or {}, ref, split, border)
    if "set" in task.metrics:
        metrics |= evaluate_samples(samples, ref, split) | evaluate_values(pairs or {}, ref, split)
    if pairs and task.made_from == "source":
        real = np.asarray(ref.splits[split].features[: len(samples)])
        metrics |= evaluate_values({FEATURES: feature_distances(samples.features, real)}, ref, split)
    if "retrieval" in task.metrics and captions is not None and caption_names is not None:
        metrics |= evaluate_retrieval(samples, captions, caption_names, ref, split)
    return metrics


def evaluate_samples(
    samples: EvaluationSample, ref: Reference, split: str = "test", *, distances: np.ndarray | None = None
) -> Metrics:
    """Return all metrics that these samples and this extractor allow, with n images on both sides.

    n is the number of samples, or of available real images if those are fewer.

    Args:
        samples: the images to evaluate, N.
        ref: the reference.
        split: the split of the real images.
        distances: (N,) of each sample to the nearest training image, if they are known.

    Raises:
        InputError: there are too few samples.
    """
    check_count(len(samples))
    n = min(len(samples), ref.most(split))
    rows, real = choose(len(samples), n), ref.real(split, n)
    trained = samples.images is not None and samples.labels is not None
    real_baselines = ref.real_baselines(split, n, train=trained)
    fake = Sample(samples.features, samples.labels)[rows]
    recipe = Recipe(ref, samples, split, n)
    metrics = {
        name: recipe.metric(name, estimate, real_baseline=real_baselines.get(name))
        for name, estimate in estimates(ref, real, fake).items()
    }
    train = ref.splits["train"].features
    near = nearest(fake.features, train)[1] if distances is None else distances[rows]
    metrics["memorization_rate"] = recipe.metric(
        "memorization_rate",
        memorised(near, ref.closest),
        real_baseline=real_baselines["memorization_rate"],
        n_real=len(ref.splits["train"]),
        split="train",
    )
    if fake.labels is not None and real.labels is not None:
        metrics |= _conditional(samples, ref, recipe, real, fake, real_baselines, rows)
    return with_notes(metrics, ref, n)


def _conditional(
    samples: EvaluationSample,
    ref: Reference,
    recipe: Recipe,
    real: Sample,
    fake: Sample,
    real_baselines: Mapping[str, float],
    rows: np.ndarray,
) -> Metrics:
    """Return the metrics of class-conditional samples."""
    metrics: Metrics = {}
    if ref.extractor.classes == "own":
        accuracy = share(correct_labels(ref.extractor, fake), len(fake))
        metrics["conditional_accuracy"] = recipe.metric(
            "conditional_accuracy", accuracy, real_baseline=real_baselines.get("conditional_accuracy")
        )
    names = ref.info.data.labels or []
    for name, classes in by_class(ref.extractor, real, fake).items():
        mean = class_means(list(classes.values()))
        metrics[name] = recipe.metric(name, mean, real_baseline=real_baselines.get(name))
        metrics[name].classes = {names[c]: e.value for c, e in classes.items()}
    if samples.images is not None:
        name, n_real = "cas", len(ref.splits[recipe.split])
        score = classification_accuracy(ref, samples.images, fake.labels, rows, recipe.split)
        extra: dict[str, Any] = {"by_extractor": False, "n_real": n_real, "steps": ref.info.classifier_steps}
        metrics[name] = recipe.metric(name, score, real_baseline=real_baselines.get(name), **extra)
    return metrics


def evaluate_retrieval(
    samples: EvaluationSample,
    captions: np.ndarray,
    caption_names: np.ndarray,
    ref: Reference,
    split: str = "test",
) -> Metrics:
    """Return how often samples of held-out captions are nearest to real images of the same caption.

    Args:
        samples: the images to evaluate.
        captions: (N,) the caption number of each sample.
        caption_names: the caption numbers of all real images of the split, of which the reference may
            have the first only.
        ref: the reference.
        split: the split of the captions.
    """
    n, real = len(samples), ref.splits[split].features
    recipe, caption_names = Recipe(ref, samples, split, n), caption_names[: len(real)]
    hits = retrieval(ranks(samples.features, captions, real, caption_names))
    baseline = chance(captions, caption_names)
    details: dict[str, Any] = {
        "top": TOP,
        "ties": "as misses",
        "baseline": "chance",
        "n_real": len(caption_names),
    }
    return {RETRIEVAL: recipe.metric(RETRIEVAL, hits, real_baseline=baseline, **details)}


def evaluate_pairs(
    samples: EvaluationSample,
    values: Mapping[str, np.ndarray],
    ref: Reference,
    split: str = "test",
    border: int | None = None,
) -> Metrics:
    """Return how close images are to their own targets, the first N of the split, row by row.

    Distances compare the features of the images with those of their own targets, so the baseline is 0, the
    value of a perfect family.

    Args:
        samples: the images to evaluate.
        values: (N,) values per image of mse, mae, psnr, ssim and, if available, others.
        ref: the reference.
        split: the split of the targets.
        border: pixels at each side that luma was compared without.
    """
    n = len(samples)
    check_count(n)
    real = np.asarray(ref.splits[split].features[:n])
    recipe = Recipe(ref, samples, split, n, {"pairs": PAIRED})
    metrics = evaluate_values(values, ref, split, border)
    frechet = f"reconstruction_{ref.extractor.frechet_name}"
    kid = kid_estimate(real, samples.features, paired=True)
    distance = frechet_estimate(real, samples.features)
    metrics["reconstruction_kid"] = recipe.metric("reconstruction_kid", kid, real_baseline=0.0)
    metrics[frechet] = recipe.metric(frechet, distance, real_baseline=0.0)
    return with_notes(metrics, ref, n)


def evaluate_values(
    values: Mapping[str, np.ndarray], ref: Reference, split: str = "test", border: int | None = None
) -> Metrics:
    """Return the means of values (N,) of the first N images of a split, by metric; arguments as above."""
    metrics: Metrics = {}
    for name, per_image in values.items():
        of_luma: dict[str, Any] = {"luma": LUMA, "border": border} if name.endswith("_y") else {}
        recipe = Recipe(ref, EvaluationSample(per_image), split, len(per_image), {"pairs": PAIRED})
        metrics[name] = recipe.metric(
            name,
            mean_estimate(per_image),
            real_baseline=PERFECT_VALUES.get(name),
            by_extractor=name == FEATURES,
            **METRIC_NETWORKS.get(name, {}),
            **of_luma,
        )
    return metrics


def evaluate_motions(errors: Mapping[str, np.ndarray], ref: Reference) -> Metrics:
    """Return the PSNR, in dB, of mean squared errors (N,) of moved samples, by metric; NaN: not measured."""
    metrics: Metrics = {}
    for name, values in errors.items():
        finite = values[np.isfinite(values)]
        if not len(finite):  # the images are too small for the filter of a rotation
            continue
        mse = mean_estimate(finite)
        recipe = Recipe(ref, EvaluationSample(finite), "test", len(finite), {"real_images": "none"})
        low, high = (None if bound is None else decibel(bound) for bound in (mse.high, mse.low))
        estimate = Estimate(decibel(mse.value), low, high)
        metrics[name] = recipe.metric(name, estimate, real_baseline=None, by_extractor=False)
    return metrics


def evaluate_backward(
    samples: EvaluationSample, real: np.ndarray, values: Mapping[str, np.ndarray], ref: Reference
) -> Metrics:
    """Return the metrics of the other direction of a family that translates both ways, under their own names.

    Args:
        samples: what the test images become, in the domain of the sources.
        real: (N, D) features of the test sources.
        values: (N,) values per image of mse and so on, if source i belongs to image i.
        ref: the reference.
    """
    n, paired = len(samples), bool(values)
    check_count(n)
    recipe = Recipe(ref, samples, "test", n, {"real_images": "the first n sources of the split"})
    fake, frechet = samples.features, ref.extractor.frechet_name
    metrics = {
        "kid": recipe.metric("kid", kid_estimate(real, fake, paired=paired), real_baseline=None),
        frechet: recipe.metric(frechet, frechet_estimate(real, fake), real_baseline=None),
    }
    if paired:
        values = {**values, FEATURES: feature_distances(fake, real)}
        metrics |= evaluate_values(values, ref)
    return backward(with_notes(metrics, ref, n))


def backward(metrics: Metrics) -> Metrics:
    """Return metrics under the names of the other direction, with which alone they compare."""
    renamed: Metrics = {}
    for name, metric in metrics.items():
        recipe = {**metric.recipe, "metric": f"{BACKWARD}{name}"}
        changes = {"recipe": recipe, "comparability": comparability.key(recipe)}
        renamed[f"{BACKWARD}{name}"] = metric.model_copy(update=changes)
    return renamed


def feature_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the Euclidean distance of each row of a and b, (N,), of features (N, D)."""
    return np.sqrt(np.square(np.asarray(a, np.float64) - b).sum(1))


def neighbours(features: np.ndarray, ref: Reference) -> tuple[np.ndarray, Neighbours]:
    """Return the rows of the training images nearest to some published samples, and their distances."""
    rows, distances = nearest(features, ref.splits["train"].features)
    return rows, Neighbours(
        distances=[float(f"{d:.4g}") for d in distances],
        closest=ref.closest,
        memorised=np.flatnonzero(distances <= ref.closest).tolist(),
    )
