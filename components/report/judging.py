"""Sentences on the network whose features judge images, where its judgement is doubtful."""

from __future__ import annotations

from collections.abc import Iterable

from components.extractors.kinds import TRAINED, default_steps
from components.records.evaluation import Evaluation
from components.records.run import RunManifest

RECOGNISED = 0.8  # share of real images whose class a judge should recognise


def judged_briefly(run: RunManifest, results: Iterable[Evaluation]) -> str:
    """Return what speaks against the network which judged a run, in sentences; empty if nothing does."""
    evaluate, images = run.lineage.config.get("evaluate"), run.lineage.data.counts.get("train", 0)
    steps, every = evaluate.get("extractor_steps") if isinstance(evaluate, dict) else None, list(results)
    kinds = (metric.extractor for one in every for metric in one.metrics.values() if metric.extractor)
    short = brief(next(kinds, ""), steps, images) if isinstance(steps, int) else ""
    return " ".join(filter(None, (short, recognises_few(*(one.judge_accuracy for one in every)))))


def recognises_few(*accuracies: float | None) -> str:
    """Return that the network which judges recognises few real images, as a sentence; empty if not.

    Args:
        accuracies: the share of real images whose class it recognises, in each evaluation; None: it has no
            classes. The first low share counts.
    """
    accuracy = next((share for share in accuracies if share is not None and share < RECOGNISED), None)
    if accuracy is None:
        return ""
    return (
        f"The network that judges recognises the class of only {accuracy:.0%} of real images: it "
        "sees colours and outlines rather than details, so good values do not mean that pictures can be "
        "recognised; look at the samples."
    )


def brief(kind: str, steps: int | None, images: int) -> str:
    """Return that an extractor was trained in fewer steps than usual, in a sentence; empty if not.

    Args:
        kind: of the extractor.
        steps: of its training; None: as many as usual.
        images: of the training split.
    """
    if steps is None:
        return ""
    usual = default_steps(images)
    if kind not in TRAINED or steps >= usual:
        return ""
    return (
        f"The {kind} network that judges was trained in {steps:,} steps, fewer than the usual {usual:,}: its "
        "values compare only with those of as many steps."
    )
