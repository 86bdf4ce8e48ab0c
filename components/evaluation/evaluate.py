"""Features -> judged numbers, each with its real_baseline, its interval, and its recipe.

A reference is made once per data set and extractor: the features of all its images, none of them augmented,
and the real_baselines: what real images score against real images, which no generator should beat.
What selects looks at validation (components/evaluation/snapshot.py); what is reported looks at test.

    reference.json                     the data, the extractor, the real_baselines
    features/<split>.npy               (N, D) float32, memory-mapped when read
    labels/<split>.npy                 (N,) int64, where the data has classes
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.evaluation.metric import PERFECT, RETRIEVAL, SEEN, Recipe, with_notes
from components.evaluation.ranking import rank_by
from components.evaluation.reference import (
    CLASSIFIER_STEPS,
    EvaluationSample,
    Reference,
    Sample,
    by_class,
    check_count,
    choose,
    classification_accuracy,
    correct_labels,
    describe,
    estimates,
)
from components.evaluation.stability import stability
from components.families.tasks import Task
from components.metrics.distances import frechet_estimate, kid_estimate
from components.metrics.inception_score import class_means
from components.metrics.intervals import mean_estimate, share
from components.metrics.manifold import memorised, nearest
from components.metrics.retrieval import TOP, chance, ranks, retrieval
from components.records.evaluation import Metrics, Neighbours

__all__ = [
    "EvaluationSample",
    "Reference",
    "describe",
    "evaluate_samples",
    "evaluate_pairs",
    "evaluate_retrieval",
    "neighbours",
    "rank_by",
    "stability",
]


def task_metrics(
    task: Task,
    judged: EvaluationSample,
    ref: Reference,
    split: str = "test",
    *,
    pairs: Mapping[str, np.ndarray] | None = None,
    captions: np.ndarray | None = None,
    caption_names: np.ndarray | None = None,
) -> Metrics:
    """Return the metrics of a task.

    Args:
        task: says which.
        judged: the samples.
        ref: what they are compared with.
        split: where the real images are from.
        pairs: how close each sample is to its target, by metric, (N,) each; for a task that has any.
        captions: (N,) the caption of each sample, as a number, where they were made from captions.
        caption_names: (M,) those of all real images of the split.
    """
    metrics: Metrics = {}
    if "pairs" in task.metrics:
        metrics |= evaluate_pairs(judged, pairs or {}, ref, split)
    if "set" in task.metrics:
        metrics |= evaluate_samples(judged, ref, split)
    if "retrieval" in task.metrics and captions is not None and caption_names is not None:
        metrics |= evaluate_retrieval(judged, captions, caption_names, ref, split)
    return metrics


def evaluate_samples(judged: EvaluationSample, ref: Reference, split: str = "test") -> Metrics:
    """Every measure that these images and this extractor allow, n images on both sides.

    n is the number of judged images, or what the data set has to compare with if that is fewer.

    Raises:
        InputError: there are too few images.
    """
    check_count(len(judged))
    n = min(len(judged), ref.most(split))
    rows, real, real_baselines = choose(len(judged), n), ref.real(split, n), ref.real_baselines(split, n)
    fake = Sample(judged.features, judged.labels)[rows]
    recipe = Recipe(ref, judged, split, n)
    metrics = {
        name: recipe.metric(name, estimate, real_baseline=real_baselines.get(name))
        for name, estimate in estimates(ref, real, fake).items()
    }
    distances = nearest(fake.features, ref.splits["train"].features)[1]
    metrics["memorization_rate"] = recipe.metric(
        "memorization_rate",
        memorised(distances, ref.closest),
        real_baseline=real_baselines["memorization_rate"],
        n_real=len(ref.splits["train"]),
        split="train",
    )
    if fake.labels is not None and real.labels is not None:
        metrics |= _conditional(judged, ref, recipe, real, fake, real_baselines, rows)
    return with_notes(metrics, ref, n)


def _conditional(
    judged: EvaluationSample,
    ref: Reference,
    recipe: Recipe,
    real: Sample,
    fake: Sample,
    real_baselines: Mapping[str, float],
    rows: np.ndarray,
) -> Metrics:
    """What only images of asked-for classes allow."""
    metrics: Metrics = {}
    if ref.extractor.classes == "own":
        right = share(correct_labels(ref.extractor, fake), len(fake))
        metrics["conditional_accuracy"] = recipe.metric(
            "conditional_accuracy", right, real_baseline=real_baselines.get("conditional_accuracy")
        )
    names = ref.info.data.labels or []
    for name, classes in by_class(ref.extractor, real, fake).items():
        mean = class_means(list(classes.values()))
        metrics[name] = recipe.metric(name, mean, real_baseline=real_baselines.get(name))
        metrics[name].classes = {names[c]: e.value for c, e in classes.items()}
    if judged.images is not None:
        name, of = "cas", len(ref.splits[recipe.split])
        score = classification_accuracy(ref, judged.images, fake.labels, rows, recipe.split)
        extra: dict[str, Any] = {"by_extractor": False, "n_real": of, "steps": CLASSIFIER_STEPS}
        metrics[name] = recipe.metric(name, score, real_baseline=real_baselines.get(name), **extra)
    return metrics


def evaluate_retrieval(
    judged: EvaluationSample, asked: np.ndarray, names: np.ndarray, ref: Reference, split: str = "test"
) -> Metrics:
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
    hits = retrieval(ranks(judged.features, asked, real, names))
    details: dict[str, Any] = {"top": TOP, "ties": "as misses", "baseline": "chance", "n_real": len(names)}
    return {RETRIEVAL: recipe.metric(RETRIEVAL, hits, real_baseline=chance(asked, names), **details)}


def evaluate_pairs(
    judged: EvaluationSample, values: Mapping[str, np.ndarray], ref: Reference, split: str = "test"
) -> Metrics:
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
            name,
            mean_estimate(each),
            real_baseline=PERFECT.get(name),
            by_extractor=False,
            **SEEN.get(name, {}),
        )
        for name, each in values.items()
    }
    frechet = f"reconstruction_{ref.extractor.frechet_name}"
    close = kid_estimate(real, judged.features, paired=True)
    distance = frechet_estimate(real, judged.features)
    metrics["reconstruction_kid"] = recipe.metric("reconstruction_kid", close, real_baseline=0.0)
    metrics[frechet] = recipe.metric(frechet, distance, real_baseline=0.0)
    return with_notes(metrics, ref, n)


def neighbours(features: np.ndarray, ref: Reference) -> tuple[np.ndarray, Neighbours]:
    """The nearest training images of some published samples: their rows, and how near they are."""
    rows, distances = nearest(features, ref.splits["train"].features)
    return rows, Neighbours(
        distances=[float(f"{d:.4g}") for d in distances],
        closest=ref.closest,
        memorised=np.flatnonzero(distances <= ref.closest).tolist(),
    )
