"""One evaluated number: its interval, baseline, recipe and comparability key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.common.chunks import CHUNK
from components.evaluation import comparability
from components.evaluation.reference import CHOICE_SEED, SCHEMA, EvaluationSample, Reference
from components.evaluation.snapshot import ENOUGH
from components.metrics.distances import Estimate
from components.metrics.retrieval import TOP
from components.records.evaluation import MetricResult, Metrics

ROUNDING = "uint8, x * 127.5 + 127.5 rounded to nearest even"  # dataset.py:to_uint8, on both sides

TINY = 1e-12  # below any distance or error; keeps logarithms finite

RETRIEVAL = f"retrieval_top{TOP}"

JACKKNIFE = (
    "jackknife over groups left out of both sides, no image counts twice; of a share at least Wilson's"
)

BOOTSTRAP = "bootstrap of the mean over images"

WILSON = "Wilson score interval of a share"

ACROSS = "jackknife within each class, classes taken as independent"

PIXELS = ("mse", "mae", "psnr", "ssim", "psnr_y", "ssim_y", "lpips", "cycle_error")
MOTIONS = ("eq_t", "eq_r")

INTERVALS = {  # by metric; all others use JACKKNIFE
    **dict.fromkeys((*PIXELS, *MOTIONS, "feature_distance"), BOOTSTRAP),
    **dict.fromkeys(
        ("conditional_accuracy", "confident_rate", "cas", "memorization_rate", RETRIEVAL), WILSON
    ),
    **dict.fromkeys(("class_kid", "class_fid", "class_frechet_distance"), ACROSS),
}

HIGHER = frozenset(
    (
        "precision",
        "recall",
        "density",
        "coverage",
        "inception_score",
        "classifier_score",
        "conditional_accuracy",
        "confident_rate",
    )
    + ("cas", "psnr", "ssim", "psnr_y", "ssim_y", *MOTIONS, RETRIEVAL)
)

# The network of a metric that brings its own; part of the recipe.
METRIC_NETWORKS: dict[str, dict[str, Any]] = {"lpips": {"trunk": "torchvision alexnet-owt-7be5be79"}}

# Baselines of reconstructions: the values of perfect ones.
PERFECT_VALUES = {
    **dict.fromkeys(("mse", "mae", "lpips", "cycle_error", "feature_distance", "reconstruction_kid"), 0.0),
    **dict.fromkeys(("ssim", "ssim_y"), 1.0),
}


@dataclass(frozen=True)
class Recipe:
    """The method of measurement of one evaluation: the common part of its metrics' comparability keys."""

    ref: Reference
    samples: EvaluationSample
    split: str
    n: int
    more: Mapping[str, Any] | None = None

    def metric(
        self,
        name: str,
        estimate: Estimate,
        *,
        real_baseline: float | None,
        by_extractor: bool = True,
        n_real: int | None = None,
        split: str | None = None,
        **more: Any,
    ) -> MetricResult:
        """Return the record of a metric, with its recipe and comparability key."""
        extractor = self.ref.extractor.identity if by_extractor else None
        recipe = {
            "schema": SCHEMA,
            "metric": name,
            "extractor": extractor and extractor.name,
            "extractor_hash": extractor and extractor.hash,
            "data_set": self.ref.info.data.name,
            "data": self.ref.info.data.hash,
            "split": split or self.split,
            "choice": CHOICE_SEED,
            "n": self.n,
            "n_real": n_real or self.n,
            "preparation": self.samples.preparation,
            "resize": extractor and extractor.preparation,
            "rounding": ROUNDING,
            "chunk": CHUNK,
            "seeds": self.samples.seeds,
            **({"reference_images": self.ref.info.most} if self.ref.info.most else {}),
            **(self.more or {}),
            **more,
        }
        return MetricResult(
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            interval=None if estimate.low is None else INTERVALS.get(name, JACKKNIFE),
            real_baseline=real_baseline,
            n=self.n,
            extractor=recipe["extractor"],
            extractor_hash=recipe["extractor_hash"],
            split=recipe["split"],
            better="higher" if name in HIGHER else "lower",
            recipe=recipe,
            comparability=comparability.key(recipe),
            note=self.ref.doubt if by_extractor else None,
        )


def with_notes(metrics: Metrics, ref: Reference, n: int) -> Metrics:
    """Return the metrics with a note on each one for which n images are too few, unless it has one.

    An extrapolation from too few images is left out.
    """
    few = n < 4 * ENOUGH * ref.dim
    metrics = {name: metric for name, metric in metrics.items() if not (few and name.endswith("_infinity"))}
    for name, metric in metrics.items():
        frechet = not {"fid", "frechet"}.isdisjoint(name.split("_"))
        images = min((n // len(ref.info.data.labels or ()), n)) if metric.classes else n
        alternative = name.replace(ref.extractor.frechet_name, "KID").replace("_", " ")
        if metric.note:
            continue
        if frechet and images < ENOUGH * ref.dim:
            metric.note = f"mostly bias: {images:,} images for {ref.dim:,} features; rank by {alternative}"
    return metrics
