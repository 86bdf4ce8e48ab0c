"""Names and explanations of metrics, and how a value was measured. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from components.records.evaluation import BACKWARD, MetricResult, Metrics
from components.report import formatting

MARK = " *"  # behind a value with a note
PERCENT = "\u00a0%"  # with a no-break space
AS_REAL = "the value of real training images against the same test images"
COPIED = "the share of held-out real images that are as close"
PERFECT = "the value of a perfect output"
CHANCE = "the value of images that are unrelated to their captions"
PAIRS = "each test image and its reconstruction or translation"
LUMA_ALONE = "{what} of the luma of BT.601, without a border as wide as the scale"
UNBIASED = (
    "extrapolated to infinitely many images on both sides, which removes the bias of small sets; may fall "
    "below 0 (Chong and Forsyth 2020)."
)
SHARPNESS = (
    "exp of the mean divergence of an image's predicted classes from those of all samples, as {who} predicts "
    "them: sharp and varied images score high. Uses no real images (Salimans et al. 2016)."
)
PER_CLASS = (
    "between the samples of a class and the test images of that class, the mean over classes (as "
    "intra-FID of Miyato and Koyama 2018)."
)


@dataclass(frozen=True)
class Measure:
    """The name and explanation of a metric."""

    label: str
    meaning: str
    better: str = "lower"
    percent: bool = False
    limit: str = AS_REAL  # meaning of `real_baseline`
    main: bool = True  # whether a table shows it before "all measures" is chosen

    @property
    def bound(self) -> str:
        """The name of `real_baseline` on a page."""
        return {CHANCE: "chance", PERFECT: "perfect"}.get(self.limit, "real images")

    def show(self, value: float | None) -> str:
        """Return `value` as a table shows it."""
        if value is None:
            return formatting.NONE
        return f"{value * 100:.1f}{PERCENT}" if self.percent else formatting.number(value)

    def show_limit(self, value: float) -> str:
        """Return the real baseline in short form, since it is shown next to every number."""
        return self.show(value) if self.percent else formatting.short(value)

    def show_interval(self, low: float | None, high: float | None) -> str:
        """Return `low to high` with one unit; empty if there is no interval."""
        if low is None or high is None:
            return ""
        return f"{self.show(low).removesuffix(PERCENT)} to {self.show(high)}"


# In the order of a table's columns; a table is ranked by its first metric without a warning.
MEASURES = {
    "fid": Measure(
        "FID",
        "Fréchet distance between Gaussians fitted to the features of samples and of test images, by the "
        "2015 Inception network; biased upwards at small n, so only equal n compare (Heusel et al. 2017).",
    ),
    "frechet_distance": Measure(
        "Fréchet distance",
        "Distance between Gaussians fitted to the features of samples and of test images; biased upwards at "
        "small n, so only equal n compare. FID's formula with another extractor (Heusel et al. 2017).",
    ),
    "kid": Measure(
        "KID",
        "Squared maximum mean discrepancy of the features of samples and test images under a cubic kernel; "
        "unbiased at any n, so it may fall a little below 0 (Bińkowski et al. 2018).",
    ),
    "precision": Measure(
        "Precision",
        "Fidelity: share of samples that lie within the test images' manifold, the balls around each test "
        "image up to its 3rd nearest neighbour (Kynkäänniemi et al. 2019).",
        "higher",
        percent=True,
    ),
    "recall": Measure(
        "Recall",
        "Variety: share of test images that lie within the samples' manifold, the balls around each sample "
        "up to its 3rd nearest neighbour (Kynkäänniemi et al. 2019).",
        "higher",
        percent=True,
    ),
    "coverage": Measure(
        "Coverage",
        "Variety: share of test images with at least one sample nearer than their 5th nearest test image "
        "(Naeem et al. 2020).",
        "higher",
        percent=True,
    ),
    "conditional_accuracy": Measure(
        "Label accuracy",
        "Share of samples that the data set's own classifier assigns to the requested class.",
        "higher",
        percent=True,
        limit="the accuracy of that classifier on real test images",
    ),
    "cas": Measure(
        "Classification accuracy",
        "Share of real test images that a classifier trained only on generated images classifies correctly "
        "(Ravuri and Vinyals 2019).",
        "higher",
        percent=True,
        limit="the accuracy of the same classifier when trained on real images",
    ),
    "confident_rate": Measure(
        "Recognised",
        "Share of samples to which the data set's own classifier gives some class with a probability of at "
        "least 0.9.",
        "higher",
        percent=True,
        limit="what real images score that the classifier was not trained on",
    ),
    "retrieval_top5": Measure(
        "Caption in top 5",
        "Share of samples with an image of the requested caption among their 5 nearest test images.",
        "higher",
        percent=True,
        limit=CHANCE,
    ),
    "memorization_rate": Measure(
        "Memorised",
        "Share of samples closer to a training image than 99 % of held-out real images are. Far above the "
        "real baseline, the family repeats its training images.",
        percent=True,
        limit=COPIED,
    ),
    "fid_infinity": Measure("FID, unbiased", f"FID {UNBIASED}", main=False),
    "frechet_distance_infinity": Measure(
        "Fréchet distance, unbiased", f"Fréchet distance {UNBIASED}", main=False
    ),
    "density": Measure(
        "Density",
        "Fidelity: the number of test images' balls (up to the 5th nearest neighbour) that contain a sample, "
        "over 5; outliers count less than in precision, and it may exceed 1 (Naeem et al. 2020).",
        "higher",
        main=False,
    ),
    "inception_score": Measure(
        "Inception Score",
        f"Inception Score: {SHARPNESS.format(who='the Inception network')}",
        "higher",
        limit="what real images score",
        main=False,
    ),
    "classifier_score": Measure(
        "Classifier score",
        f"The Inception Score's formula: {SHARPNESS.format(who='the data set’s own classifier')} At most the "
        "number of classes.",
        "higher",
        limit="what real images score that the classifier was not trained on",
        main=False,
    ),
    "class_fid": Measure("FID per class", f"FID {PER_CLASS}", main=False),
    "class_frechet_distance": Measure(
        "Fréchet distance per class", f"Fréchet distance {PER_CLASS}", main=False
    ),
    "class_kid": Measure("KID per class", f"KID {PER_CLASS}", main=False),
    "reconstruction_fid": Measure(
        "rFID", "FID between the features of outputs and of their target images.", limit=PERFECT
    ),
    "reconstruction_frechet_distance": Measure(
        "Fréchet distance",
        "Distance between Gaussians fitted to the features of outputs and of their target images.",
        limit=PERFECT,
    ),
    "reconstruction_kid": Measure(
        "KID",
        "Squared maximum mean discrepancy of the features of outputs and of their target images.",
        limit=PERFECT,
    ),
    "mse": Measure("MSE", f"Mean squared error per pixel between {PAIRS}.", limit=PERFECT),
    "mae": Measure("MAE", f"Mean absolute error (L1) per pixel between {PAIRS}.", limit=PERFECT),
    "psnr": Measure(
        "PSNR (dB)",
        f"Peak signal-to-noise ratio between {PAIRS}: the mean squared error in decibels.",
        "higher",
        limit=PERFECT,
    ),
    "ssim": Measure(
        "SSIM",
        f"Structural similarity of {PAIRS}: luminance, contrast and structure in small windows; 1 is equal "
        "(Wang et al. 2004).",
        "higher",
        limit=PERFECT,
    ),
    "lpips": Measure(
        "LPIPS",
        f"Perceptual distance between {PAIRS}, from the features of AlexNet (Zhang et al. 2018).",
        limit=PERFECT,
    ),
    "psnr_y": Measure(
        "PSNR of Y (dB)",
        f"{LUMA_ALONE.format(what='PSNR')}, as papers on super-resolution report it.",
        "higher",
        limit=PERFECT,
    ),
    "ssim_y": Measure("SSIM of Y", f"{LUMA_ALONE.format(what='SSIM')}.", "higher", limit=PERFECT),
    "feature_distance": Measure(
        "Feature distance", f"Euclidean distance between the features of {PAIRS}.", limit=PERFECT
    ),
    "eq_t": Measure(
        "EQ-T (dB)",
        "How exactly samples move when the generator's input is shifted by whole pixels, up to an eighth of "
        "a side: PSNR against the shifted sample (Karras et al. 2021).",
        "higher",
    ),
    "eq_r": Measure(
        "EQ-R (dB)",
        "How exactly samples turn when the generator's input is rotated by any angle: PSNR against the "
        "rotated sample below 0.4 cycles per pixel (Karras et al. 2021, with a radial filter).",
        "higher",
    ),
    "cycle_error": Measure(
        "Cycle error",
        "Mean absolute error per pixel between each source and what is left of it after a translation there "
        "and back; 0 also for networks that change nothing (Zhu et al. 2017).",
        limit=PERFECT,
    ),
}
MAIN_BACKWARD = {"fid", "frechet_distance", "kid", "cycle_error"}
STEPS = {  # fields of a recipe -> labels, in the order of a tooltip
    "data_set": "data set",
    "data": "version of the data",
    "preparation": "preparation",
    "resize": "resize",
    "rounding": "rounding",
    "chunk": "images at once",
    "seeds": "seeds",
    "choice": "real images chosen by seed",
}
HASH = re.compile("[0-9a-f]{32,}")
NAMED = {"metric", "extractor", "extractor_hash", "split", "n", "n_real", "schema", *STEPS}


def measure(name: str, metric: MetricResult | None = None) -> Measure:
    """Return the measure called `name`; for an unknown one, from the metric's own name and direction."""
    better = metric.better if metric else "lower"
    if name.startswith(BACKWARD) and (forward := MEASURES.get(name.removeprefix(BACKWARD))):
        return replace(
            forward,
            label=f"Backward: {forward.label}",
            meaning=f"From images to sources, which take the place of test images. {forward.meaning}",
            main=name.removeprefix(BACKWARD) in MAIN_BACKWARD,
        )
    return MEASURES.get(name) or Measure(name.replace("_", " ").capitalize(), "", better)


def main(names: list[str], warned: set[str]) -> set[str]:
    """Return those of the ranked `names` that a short table shows: one accuracy, none with a warning."""
    accuracies = [n for n in names if n in ("conditional_accuracy", "cas", "confident_rate")]
    hidden = warned | set(accuracies[1:])
    return {n for i, n in enumerate(names) if i == 0 or (measure(n).main and n not in hidden)}


def mark(metric: MetricResult | None) -> str:
    """Return the mark behind a value that has a note; empty without one."""
    return MARK if metric is not None and metric.note else ""


def noted(results: Iterable[Metrics]) -> dict[str, str]:
    """Return the notes on metrics of `results` by name, of several notes the first."""
    notes: dict[str, str] = {}
    for metrics in results:
        notes = {name: metric.note for name, metric in metrics.items() if metric.note} | notes
    return notes


def features(metric: MetricResult) -> str:
    """Return the extractor and the beginning of its hash; empty for a metric of pixels."""
    return f"{metric.extractor} {(metric.extractor_hash or '')[:8]}".strip() if metric.extractor else ""


def summary(metric: MetricResult | None) -> str:
    """Return how a value was measured, in a line: extractor, count, split."""
    if metric is None:
        return ""
    parts = [
        f"features of {features(metric)}" if features(metric) else "",
        f"n = {formatting.number(metric.n)}" if metric.n else "",
        f"{metric.split} split" if metric.split else "",
    ]
    return ", ".join(filter(None, parts))


def recipe(metric: MetricResult) -> list[tuple[str, str]]:
    """Return how a value was measured, in full; without a recipe, only the first lines and the key."""
    rest = {k: v for k, v in metric.recipe.items() if k not in NAMED and v not in (None, "")}
    lines = [
        ("features", features(metric)),
        ("images", images(metric)),
        *((label, _short(metric.recipe.get(field))) for field, label in STEPS.items()),
        *((field.replace("_", " "), _short(value)) for field, value in rest.items()),
        ("interval by", metric.interval or ""),
        ("comparability", metric.comparability or ""),
    ]
    return [(name, value) for name, value in lines if value]


def images(metric: MetricResult) -> str:
    """Return the number of images on both sides, and the split of the real ones."""
    if metric.n is None:
        return ""
    count = metric.recipe.get("n_real")
    real = "" if count is None else f" against {formatting.number(count)} real"
    split = f", {metric.split} split" if metric.split else ""
    return f"{formatting.number(metric.n)}{real}{split}"


def _short(value: Any) -> str:
    """Return a recipe's value: the beginning of a hash, anything else in full."""
    if value is None:
        return ""
    return value[:12] if isinstance(value, str) and HASH.fullmatch(value) else formatting.number(value)


def limit(definition: Measure, metric: MetricResult | None) -> str:
    """Return the real baseline of a metric with its meaning, in words."""
    if metric is None or metric.real_baseline is None:
        return ""
    return (
        f"{definition.bound.capitalize()} {definition.show_limit(metric.real_baseline)}: {definition.limit}."
    )
