"""Judge a family that translates between two domains in both directions: cycle errors, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.evaluation.samples import EvaluationInputs
from components.metrics.image_pairs import absolute_errors
from components.sampling import generate
from models.family import Generator

CYCLE = "cycle_error"


def translates_both_ways(generator: Generator, inputs: EvaluationInputs) -> bool:
    """Whether a generator leads from sources to images and back, and the data has both."""
    return hasattr(generator, "backward") and inputs.split.sources is not None


def cycle_errors(
    generator: Generator, inputs: EvaluationInputs, *, n: int, start: int, **fixed: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return |F(G(x)) - x| of sources and |G(F(y)) - y| of images, the mean over pixels in [0, 1], (n,) each.

    What returns is rounded to uint8; what it is made of on the way is not.
    """
    assert inputs.split.sources is not None
    there, back = inputs.card, inputs.card.reversed()
    rows = np.arange(start, start + n)
    errors = [
        absolute_errors(
            pixels[rows],
            generate.draw(generator, card, sources=pixels, method=method, n=n, start=start, **fixed),
        )
        for pixels, card, method in (
            (inputs.split.sources, back, "forward_cycle"),
            (inputs.split.images, there, "backward_cycle"),
        )
    ]
    return errors[0], errors[1]


def backward_images(
    generator: Generator, inputs: EvaluationInputs, *, n: int, start: int, **fixed: Any
) -> np.ndarray:
    """Return F(y) of images [start, start + n) of the split, uint8 (n, C', H, W)."""
    settings = {"n": n, "start": start, **fixed}
    card = inputs.card.reversed()
    return generate.draw(generator, card, sources=inputs.split.images, method="backward", **settings)
