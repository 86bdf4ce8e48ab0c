"""The Vendi score, in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components.metrics.diversity import pairwise, vendi_score


def test_vendi_score_of_like_and_unlike_things() -> None:
    """K copies each of N points far apart are N things: the eigenvalues of K / N are N times 1 / N."""
    points = np.repeat(np.eye(5) * 100, 4, axis=0)
    assert vendi_score(pairwise(points), 1.0) == pytest.approx(5)
    assert vendi_score(pairwise(points[:4]), 1.0) == pytest.approx(1)
    two = np.array([[0.0], [1.0]])  # eigenvalues (1 +- e^-1/2) / 2
    p, q = (1 + math.exp(-0.5)) / 2, (1 - math.exp(-0.5)) / 2
    assert vendi_score(pairwise(two), 1.0) == pytest.approx(math.exp(-p * math.log(p) - q * math.log(q)))
