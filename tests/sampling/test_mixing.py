"""`atelier mix`: rows with the styles of columns in some layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.sampling.mixing import mixing_grid
from components.sampling.styles import Styles, parsed_layers
from tests.sampling.style_models import opened


@pytest.fixture
def styles(tmp_path: Path) -> Styles:
    return opened(tmp_path)


def grid(styles: Styles, layers: slice) -> np.ndarray:
    """Two rows and three columns, (3, 4, C, H, W)."""
    made = mixing_grid(styles, styles.keys([1, 2]), styles.keys([3, 4, 5]), layers)
    return made.reshape(3, 4, *styles.card.shape).astype(int)


def test_rows_and_columns_are_headed_by_their_samples(styles: Styles) -> None:
    made = grid(styles, parsed_layers("middle", styles.layers))
    heads = [*styles.keys([3, 4, 5]), *styles.keys([1, 2])]
    expected = np.concatenate(
        list(styles.images([styles.styles(key) for key in heads], [key.noises for key in heads]))
    )
    assert (made[0, 0] == 255).all()
    np.testing.assert_allclose(made[0, 1:], expected[:3], atol=1)
    np.testing.assert_allclose(made[1:, 0], expected[3:], atol=1)


def test_without_layers_all_are_the_rows_and_with_all_only_noise_differs(styles: Styles) -> None:
    none, every = grid(styles, slice(0, 0)), grid(styles, slice(0, styles.layers))
    for column in range(4):
        np.testing.assert_allclose(none[1:, column], none[1:, 0], atol=1)
    ws, noises = styles.styles(styles.keys([4])[0]), styles.keys([2])[0].noises
    (image,) = styles.images([ws], [noises])
    np.testing.assert_allclose(every[2, 2], image[0], atol=1)


def test_a_mixture_has_the_styles_of_both(styles: Styles) -> None:
    layers = parsed_layers("coarse", styles.layers)
    row, column = styles.keys([2])[0], styles.keys([5])[0]
    ws = styles.styles(row).clone()
    ws[layers] = styles.styles(column)[layers]
    (image,) = styles.images([ws], [row.noises])
    np.testing.assert_allclose(grid(styles, layers)[2, 3], image[0], atol=1)
    assert not np.array_equal(grid(styles, layers), grid(styles, parsed_layers("fine", styles.layers)))
