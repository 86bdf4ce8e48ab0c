"""What a reader should know of the network whose features judge images."""

from __future__ import annotations

from collections.abc import Iterable

from components.records.evaluation import Metrics
from components.records.run import RunManifest


def judged_briefly(run: RunManifest, results: Iterable[Metrics]) -> str:
    """Return that the network which judged a run was trained in fewer steps than usual; empty if not."""
    evaluate, images = run.lineage.config.get("evaluate"), run.lineage.data.counts.get("train", 0)
    steps = evaluate.get("extractor_steps") if isinstance(evaluate, dict) else None
    kinds = (metric.extractor for metrics in results for metric in metrics.values() if metric.extractor)
    return brief(next(kinds, ""), steps, images) if isinstance(steps, int) else ""


def brief(kind: str, steps: int | None, images: int) -> str:
    """Return that an extractor was trained in fewer steps than usual, in a sentence; empty if not.

    Args:
        kind: of the extractor.
        steps: of its training; None: as many as usual.
        images: of the training split.
    """
    if steps is None:
        return ""
    from components.extractors.small import TRAINED, default_steps  # imports torch

    usual = default_steps(images)
    if kind not in TRAINED or steps >= usual:
        return ""
    return (
        f"The {kind} network that judges was trained in {steps:,} steps, fewer than the usual {usual:,}: its "
        "values compare only with those of as many steps."
    )
