"""Choose the metric that ranks results."""

from __future__ import annotations

from collections.abc import Mapping

from components.records.evaluation import MetricResult


def rank_by(metrics: Mapping[str, MetricResult]) -> str:
    """Return the metric that ranks: the Frechet distance if there are enough images for it, else KID."""
    for name in ("fid", "frechet_distance", "reconstruction_fid", "reconstruction_frechet_distance"):
        if name in metrics and not metrics[name].note:
            return name
    return next(name for name in ("kid", "reconstruction_kid", "mse") if name in metrics)
