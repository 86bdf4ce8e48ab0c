"""How far a curve falls back from its best value."""

import pytest

from components.evaluation.stability import regression_ratio, stability
from components.records.evaluation import Stability


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([4, 3, 2, 1], 0),
        ([4, 2, 3, 1], 0.25),
        ([4, 1, 4, 1, 4], 1),
        ([1, 2, 3], 1),
        ([2, 2, 2], 0),
        ([1, 0.5, 4], 1),
    ],
)
def test_backslide_of_known_curves(values, expected):
    assert regression_ratio(values) == pytest.approx(expected)


# Stability


def test_stability_of_known_curves():
    def points(*values):
        return [{"step": i, "frechet_distance": value} for i, value in enumerate(values)]

    # Relative to what was gained: 16 -> 1 is four halvings, back to 4 loses two of them.
    expected = Stability(regression_ratio=0.5, kept=0.5, best_step=1, snapshots=3, of="frechet_distance")
    assert stability(points(16, 1, 4)) == expected
    worse = Stability(regression_ratio=1, kept=0, best_step=0, snapshots=3, of="frechet_distance")
    assert stability(points(1, 2, 3)) == worse
    assert stability(points(1, 0)).regression_ratio is None and stability([]).snapshots == 0
