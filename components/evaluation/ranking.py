"""By which metric results are ranked."""

from __future__ import annotations

from collections.abc import Mapping

from components.records.evaluation import MetricResult


def rank_by(metrics: Mapping[str, MetricResult]) -> str:
    """The judged metric that ranks: the Frechet distance where there are images enough for it, else KID."""
    for name in ("fid", "frechet_distance", "reconstruction_fid", "reconstruction_frechet_distance"):
        if name in metrics and not metrics[name].note:
            return name
    return next(name for name in ("kid", "reconstruction_kid", "mse") if name in metrics)
