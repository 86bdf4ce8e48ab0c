"""The views of a family that encodes images into latent codes and back, in the order of the page.

A view is a function of a Subject, and returns None where it does not apply. It needs no store and no cluster.
"""

from __future__ import annotations

from collections.abc import Callable

from components.analysis.anomaly import anomaly
from components.analysis.divergence import diverged
from components.analysis.latent_space import draws, interpolation, traversals
from components.analysis.likelihood import likelihood, posterior
from components.analysis.probing import features, map_of_codes
from components.analysis.reconstruction import compression, denoising
from components.analysis.view import Subject, View

__all__ = ["VIEWS", "Subject", "View", "make_view"]

VIEWS: dict[str, Callable[[Subject], View | None]] = {
    "diverged": diverged,
    "draws": draws,
    "compression": compression,
    "denoising": denoising,
    "anomaly": anomaly,
    "features": features,
    "map": map_of_codes,
    "likelihood": likelihood,
    "posterior": posterior,
    "interpolation": interpolation,
    "traversals": traversals,
}
"""In the order of the page."""


def make_view(name: str, subject: Subject) -> View | None:
    """A view by its name; for a model that has diverged, only the one that says so."""
    if name != "diverged" and diverged(subject):
        return None
    return VIEWS[name](subject)
