"""What each judged number is called, what it means, and how a single one was come by. Pure functions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from components.records.evaluation import MetricResult
from components.report import formatting

PERCENT = "\u00a0%"  # never parted from its number
AS_REAL = "what real training images score against the same test images"
COPIED = "the share of held-out real images that come as close"
PERFECT = "what a perfect output scores"
CHANCE = "what images score that have nothing to do with their captions"
PAIRS = "each test image and its reconstruction or translation"
UNBIASED = (
    "extrapolated to infinitely many images on both sides, which takes out the bias of small sets; may fall "
    "below 0 (Chong and Forsyth 2020)."
)
SHARPNESS = (
    "exp of the mean divergence of an image's predicted classes from those of all samples, as {who} predicts "
    "them: sharp and varied score high. Looks at no real image (Salimans et al. 2016)."
)
PER_CLASS = (
    "between the samples asked for a class and the test images of that class, the mean over classes (as "
    "intra-FID of Miyato and Koyama 2018)."
)


@dataclass(frozen=True)
class Measure:
    """How a metric is named and explained."""

    label: str
    meaning: str
    better: str = "lower"
    percent: bool = False
    limit: str = AS_REAL  # what `real_baseline` is
    main: bool = True  # whether a table shows it before "all measures" is asked for

    @property
    def bound(self) -> str:
        """What `real_baseline` is called on a page."""
        return {CHANCE: "chance", PERFECT: "perfect"}.get(self.limit, "real images")

    def show(self, value: float | None) -> str:
        """`value` as it stands in a table."""
        if value is None:
            return formatting.NONE
        return f"{value * 100:.1f}{PERCENT}" if self.percent else formatting.number(value)

    def show_limit(self, value: float) -> str:
        """The real baseline: as short as it goes, since it stands beside every number."""
        return self.show(value) if self.percent else formatting.short(value)

    def show_interval(self, low: float | None, high: float | None) -> str:
        """`low to high`, the unit once; empty where there is no interval."""
        if low is None or high is None:
            return ""
        return f"{self.show(low).removesuffix(PERCENT)} to {self.show(high)}"


# In the order of a table's columns; a table is ranked by the first it has that carries no warning.
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
        "Share of samples that the data set's own classifier takes for the class asked for.",
        "higher",
        percent=True,
        limit="how often that classifier is right on real test images",
    ),
    "cas": Measure(
        "Classification accuracy",
        "Share of real test images that a classifier trained on generated images only gets right "
        "(Ravuri and Vinyals 2019).",
        "higher",
        percent=True,
        limit="what the same classifier reaches when trained on real images",
    ),
    "retrieval_top5": Measure(
        "Caption in top 5",
        "Share of samples among whose 5 nearest test images, of all of them, is one of the caption that the "
        "sample was asked for.",
        "higher",
        percent=True,
        limit=CHANCE,
    ),
    "memorization_rate": Measure(
        "Memorised",
        "Share of samples closer to a training image than 99 % of held-out real images come. Far above the "
        "real_baseline, the family repeats its training images.",
        percent=True,
        limit=COPIED,
    ),
    "fid_infinity": Measure("FID, unbiased", f"FID {UNBIASED}", main=False),
    "frechet_distance_infinity": Measure(
        "Fréchet distance, unbiased", f"Fréchet distance {UNBIASED}", main=False
    ),
    "density": Measure(
        "Density",
        "Fidelity: in how many of the test images' balls (up to the 5th nearest neighbour) a sample lies, "
        "over 5; outliers count for less than in precision, and it may exceed 1 (Naeem et al. 2020).",
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
        limit="what real images score",
        main=False,
    ),
    "class_fid": Measure("FID per class", f"FID {PER_CLASS}", main=False),
    "class_frechet_distance": Measure(
        "Fréchet distance per class", f"Fréchet distance {PER_CLASS}", main=False
    ),
    "class_kid": Measure("KID per class", f"KID {PER_CLASS}", main=False),
    "reconstruction_fid": Measure(
        "rFID", "FID between the features of outputs and of the images they should be.", limit=PERFECT
    ),
    "reconstruction_frechet_distance": Measure(
        "Fréchet distance",
        "Distance between Gaussians fitted to the features of outputs and of the images they should be.",
        limit=PERFECT,
    ),
    "reconstruction_kid": Measure(
        "KID",
        "Squared maximum mean discrepancy of the features of outputs and of the images they should be.",
        limit=PERFECT,
    ),
    "mse": Measure("MSE", f"Mean squared error per pixel between {PAIRS}.", limit=PERFECT),
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
    "mae": Measure("MAE", f"Mean absolute error per pixel between {PAIRS}.", limit=PERFECT, main=False),
}
STEPS = {  # a recipe's fields, in the order and the words of a tooltip
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
    """The measure called `name`; an unknown one takes its name and direction from the metric itself."""
    better = metric.better if metric else "lower"
    return MEASURES.get(name) or Measure(name.replace("_", " ").capitalize(), "", better)


def main(names: list[str], warned: set[str]) -> set[str]:
    """Those of `names`, in order of rank, that a calm table shows: one accuracy, and none with a warning."""
    accuracies = [n for n in names if n in ("conditional_accuracy", "cas")]
    hidden = warned | set(accuracies[1:])
    return {n for i, n in enumerate(names) if i == 0 or (measure(n).main and n not in hidden)}


def features(metric: MetricResult) -> str:
    """The extractor and the beginning of its hash; empty for a metric of pixels."""
    return f"{metric.extractor} {(metric.extractor_hash or '')[:8]}".strip() if metric.extractor else ""


def summary(metric: MetricResult | None) -> str:
    """How a number was measured, in a line: extractor, count, split."""
    if metric is None:
        return ""
    parts = [
        f"features of {features(metric)}" if features(metric) else "",
        f"n = {formatting.number(metric.n)}" if metric.n else "",
        f"{metric.split} split" if metric.split else "",
    ]
    return ", ".join(filter(None, parts))


def recipe(metric: MetricResult) -> list[tuple[str, str]]:
    """How a number was measured, in full; a record without a recipe has only the first lines and the key."""
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
    """How many images on both sides, and of which split the real ones are."""
    if metric.n is None:
        return ""
    count = metric.recipe.get("n_real")
    real = "" if count is None else f" against {formatting.number(count)} real"
    split = f", {metric.split} split" if metric.split else ""
    return f"{formatting.number(metric.n)}{real}{split}"


def _short(value: Any) -> str:
    """A recipe's value: the beginning of a hash, anything else in full."""
    if value is None:
        return ""
    return value[:12] if isinstance(value, str) and HASH.fullmatch(value) else formatting.number(value)


def limit(shown: Measure, metric: MetricResult | None) -> str:
    """What the real baseline of a metric is, in words."""
    if metric is None or metric.real_baseline is None:
        return ""
    return f"{shown.bound.capitalize()} {shown.show_limit(metric.real_baseline)}: {shown.limit}."
