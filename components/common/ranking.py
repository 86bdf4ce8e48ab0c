"""Choose the metric that ranks results; it stands first wherever metrics are shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

DISTANCES = ("fid", "frechet_distance", "reconstruction_fid", "reconstruction_frechet_distance")
OTHERS = ("kid", "reconstruction_kid", "mse")


class HasNote(Protocol):
    """A metric with a note, if it is doubtful, as a MetricResult is."""

    @property
    def note(self) -> str | None:
        """Why the number is doubtful."""


def rank_by(metrics: Mapping[str, HasNote]) -> str:
    """Return the metric that ranks: the Frechet distance if there are enough images for it, else KID.

    A metric with a note is chosen only if all others have one too, as where the extractor tells no classes.
    """
    names = [name for name in (*DISTANCES, *OTHERS) if name in metrics]
    reliable = (name for name in names if not metrics[name].note)
    return next(reliable, None) or next(name for name in names if name in OTHERS)


def ranking_metric(results: Iterable[Mapping[str, HasNote]]) -> str:
    """Return the metric that ranks several results, empty if none does.

    A metric that is doubtful in one of them is so for all.
    """
    together: dict[str, HasNote] = {}
    for metrics in results:
        together |= {n: metric for n, metric in metrics.items() if metric.note or n not in together}
    try:
        return rank_by(together)
    except StopIteration:
        return ""


def first_to_last(metrics: Mapping[str, HasNote]) -> list[str]:
    """Return the names of metrics as they are shown: the one that ranks, then the others in their order."""
    first = ranking_metric([metrics])
    return sorted(metrics, key=lambda name: name != first)
