"""What codes are good for: views of a family that encodes images into vectors and back.

Each view is a function of a Subject; None where it does not apply. They measure, and know neither the store
nor who works side by side.
"""

from __future__ import annotations

from collections.abc import Callable

from components.analysis.anomaly import anomaly
from components.analysis.divergence import diverged
from components.analysis.latent_space import draws, interpolation, traversals
from components.analysis.likelihood import likelihood, posterior
from components.analysis.probing import features, map_of_codes
from components.analysis.reconstruction import compression, denoising
from components.analysis.view import Picture, Plot, Subject, Table, View

__all__ = ["VIEWS", "look", "Picture", "Plot", "Subject", "Table", "View"]

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


def look(name: str, subject: Subject) -> View | None:
    """A view by its name; of a model that has diverged, only the one that says so."""
    if name != "diverged" and diverged(subject):
        return None
    return VIEWS[name](subject)
