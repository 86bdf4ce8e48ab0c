"""Choose the metric that ranks results."""

from __future__ import annotations

from collections.abc import Mapping

from components.records.evaluation import MetricResult

DISTANCES = ("fid", "frechet_distance", "reconstruction_fid", "reconstruction_frechet_distance")
OTHERS = ("kid", "reconstruction_kid", "mse")


def rank_by(metrics: Mapping[str, MetricResult]) -> str:
    """Return the metric that ranks: the Frechet distance if there are enough images for it, else KID.

    A metric with a note is chosen only if all others have one too, as where the extractor tells no classes.
    """
    names = [name for name in (*DISTANCES, *OTHERS) if name in metrics]
    reliable = (name for name in names if not metrics[name].note)
    return next(reliable, None) or next(name for name in names if name in OTHERS)
