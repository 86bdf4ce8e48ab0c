"""The baselines beside results, real images included: where a result does not beat or approach them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from components.config.gate import Gate
from components.evaluation.comparability import difference
from components.families.tasks import DEFAULT, TASKS
from components.records.evaluation import BACKWARD, Baseline, Metrics
from components.records.run import ResultHead
from components.report import formatting
from components.report.metric_labels import measure

LABELS = {
    "identity": "the source itself",
    "bicubic": "bicubic interpolation",
    "nearest_pair": "the nearest training pair",
}
# Metrics in which a baseline is to be beaten. Precision and the like say nothing against a result, since the
# images of other pairs are real ones.
COMPARED = (
    *("fid", "frechet_distance", "kid"),
    *("reconstruction_fid", "reconstruction_frechet_distance", "reconstruction_kid"),
    *("mse", "mae", "psnr", "ssim", "psnr_y", "ssim_y", "lpips", "feature_distance"),
)

# Samples are not near real images where these are below a part of real images' value, ...
SHARES, LITTLE = ("recall", "coverage"), 0.25
# ... or these are above a multiple of it, which a poor but recognisable model stays below. KID is left out,
# since real images have about 0 whatever its scale.
DISTANCES, FAR = ("fid", "frechet_distance"), 50
# How many times images are worse than real ones, in words.
GOOD = 1.25
VERDICTS = (
    (GOOD, "about as good as real ones by these measures"),
    (3.0, "not as good as real ones"),
    (math.inf, "much worse than real ones"),
)
# These praise samples that crowd where a few real images are. They lead only where each of SHARES reaches
# ENOUGH of real images' value, and where they exceed that of real images by little: more takes less variety.
CROWDED, ENOUGH, LITTLE_MORE = ("precision", "density"), 0.5, 1.1
CROWD = "Samples that crowd around a few real images reach more than those: look at recall and coverage"


def distinct(results: Sequence[ResultHead]) -> list[tuple[str, Baseline]]:
    """Return the baselines of the results of a task, each once, with their labels.

    Families usually share them. If not, as where each makes its own sources, a label names the family.
    """
    every = [(result.family, baseline) for result in results for baseline in result.baselines]
    labelled = list[tuple[str, Baseline]]()
    for name in dict.fromkeys(baseline.name for _, baseline in every):
        of_name = [(family, baseline) for family, baseline in every if baseline.name == name]
        different = list[tuple[str, Baseline]]()
        for family, baseline in of_name:
            if all(baseline.metrics != other.metrics for _, other in different):
                different.append((family, baseline))
        label = LABELS.get(name, name)
        shared = len(different) == 1
        labelled += [(label if shared else f"{label}, for {f}", baseline) for f, baseline in different]
    return labelled


def unbeaten(result: ResultHead, name: str) -> list[str]:
    """Return the labels of the baselines that a result does not beat in a metric."""
    return [
        LABELS.get(baseline.name, baseline.name)
        for baseline in result.baselines
        if _is_unbeaten(result, baseline, name)
    ]


def shortcomings(result: ResultHead, names: Sequence[str]) -> str:
    """Return in which metrics a result does not beat its baselines, as a sentence; empty if in none."""
    parts = []
    for baseline in result.baselines:
        labels = [measure(name).label for name in names if _is_unbeaten(result, baseline, name)]
        if labels:
            parts.append(f"{LABELS.get(baseline.name, baseline.name)} in {formatting.listing(labels, 'or')}")
    return f"Does not beat {formatting.listing(parts, 'or')}." if parts else ""


def unlike_real(result: ResultHead) -> str:
    """Return why the samples of a result are not near real images at all; empty if they may be.

    A single metric praises noise or copies of one image: precision may be high where all samples are alike.
    """
    task = TASKS.get(result.task or DEFAULT)
    return "" if task is None or task.has_target else unlike(result.metrics)


def unlike(metrics: Metrics) -> str:
    """Return why images with these metrics are not near real images at all; empty if they may be."""
    for name, metric in metrics.items():
        real, definition = metric.real_baseline, measure(name, metric)
        if not real or real < 0:
            continue
        little = name in SHARES and metric.value < LITTLE * real
        far = name in DISTANCES and metric.value > FAR * real
        if little or far:
            values = f"{definition.show(metric.value)}, that of real images {definition.show_limit(real)}"
            return f"{definition.label} is {values}"
    return ""


def in_words(metrics: Metrics) -> str:
    """Return how good images are beside real ones, as a sentence; empty if it is not known.

    The worst of realism, variety and distance decides and comes first: blurred images have a high precision.
    """
    shares = [metrics[name] for name in ("precision", "recall") if name in metrics]
    if len(shares) < 2 or not all(metric.real_baseline for metric in shares):
        return ""
    (precision, of_real), (recall, of_other) = (
        [measure("precision").show(value) for value in (metric.value, metric.real_baseline)]
        for metric in shares
    )
    less, fewer = [(metric.real_baseline or 0.0) / max(metric.value, 1e-9) for metric in shares]
    parts = [
        (less, f"{precision} of them lie among real images ({of_real} of other real ones do)"),
        (fewer, f"{recall} of real images lie among them ({of_other} among other real ones)"),
    ]
    for name in DISTANCES:
        if (metric := metrics.get(name)) and (metric.real_baseline or 0.0) > 0:
            ratio = metric.value / (metric.real_baseline or 1.0)
            parts.append(
                (ratio, f"their {measure(name, metric).label} is {ratio:.1f} times that of real images")
            )
    parts.sort(key=lambda part: -part[0])
    verdict = next(words for most, words in VERDICTS if parts[0][0] <= most)
    worse, rest = ([text for ratio, text in parts if (ratio > GOOD) == bad] for bad in (True, False))
    text = f"the images are {verdict}: {', though '.join(filter(None, map(' and '.join, (worse, rest))))}"
    if (kid := metrics.get("kid")) and kid.real_baseline is not None:
        definition = measure("kid", kid)
        real = definition.show_limit(kid.real_baseline)
        text += f"; their {definition.label} is {definition.show(kid.value)}, that of other real ones {real}"
    return text


def copies(metrics: Metrics) -> str:
    """Return that images seem to be copies of training images, in a sentence; empty if too few do.

    More than the gate allows have to be nearer to training images than real ones are, and not by chance.
    """
    metric = metrics.get("memorization_rate")
    if metric is None or metric.note or metric.value <= Gate().max_memorization:
        return ""
    at_least = metric.value if metric.low is None else metric.low
    if at_least <= (metric.real_baseline or 0.0):
        return ""
    share = measure("memorization_rate", metric).show(metric.value)
    return f"{share} of the images are nearer to training images than real ones are: probably copies of them"


def crowded(metrics: Metrics) -> str:
    """Return that a measure of CROWDED is well above real images', and what it means; empty if none is."""
    parts = []
    for name in CROWDED:
        metric, definition = metrics.get(name), measure(name)
        real = metric.real_baseline if metric else None
        if metric and real and metric.value > LITTLE_MORE * real:
            values = f"{definition.show(metric.value)}, that of real images {definition.show_limit(real)}"
            parts.append(f"{name} is {values}")
    values = "; ".join(parts)
    return f"{values[0].upper()}{values[1:]}. {CROWD}" if parts else ""


def may_lead(result: ResultHead, name: str) -> bool:
    """Return whether a metric of a result may be marked as the best: one with a note may not."""
    if unlike_real(result):
        return False
    metric = result.metrics.get(name)
    if metric is not None and metric.note:
        return False
    if name not in CROWDED or metric is None or not metric.real_baseline:
        return True
    shares = [result.metrics[share] for share in SHARES if share in result.metrics]
    varied = all(share.value >= ENOUGH * (share.real_baseline or 0.0) for share in shares)
    return varied and metric.value <= LITTLE_MORE * metric.real_baseline


def _is_unbeaten(result: ResultHead, baseline: Baseline, name: str) -> bool:
    """Whether a result is no better than a baseline in a metric, which both have in the same recipe."""
    a, b = result.metrics.get(name), baseline.metrics.get(name)
    if name.removeprefix(BACKWARD) not in COMPARED or a is None or b is None or difference(a, b):
        return False
    return a.value <= b.value if a.better == "higher" else a.value >= b.value
