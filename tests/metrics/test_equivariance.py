"""Errors of moved images, in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from components.metrics.equivariance import (
    RADIUS,
    decibel,
    kernel,
    overlap,
    rotated,
    rotation_errors,
    shift_errors,
)


def wave(size: int, angle: float = 0.0, frequency: float = 0.2) -> Tensor:
    """Two waves across an image, (1, 1, size, size), rotated about its centre."""
    at = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    down, right = at[:, None], at
    c, s = math.cos(angle), math.sin(angle)
    x, y = c * right + s * down, c * down - s * right
    cycles = frequency * x + 0.3
    return (0.5 * torch.cos(2 * math.pi * cycles) + 0.4 * torch.sin(2 * math.pi * 0.13 * y))[None, None]


def test_a_decibel_is_of_the_range_of_images() -> None:
    assert decibel(4.0) == 0 and decibel(0.04) == pytest.approx(20) and decibel(0.0) > 100


def test_a_shifted_image_is_compared_where_both_show_it() -> None:
    torch.manual_seed(0)
    canvas = torch.rand(2, 3, 20, 20)
    still, shift = canvas[..., 4:16, 4:16], torch.tensor([[3, -2], [-1, 0]])
    there = torch.stack([canvas[0, :, 6:18, 1:13], canvas[1, :, 4:16, 5:17]])
    assert shift_errors(still, there, shift).tolist() == [0, 0]
    assert shift_errors(still, there + 0.5, shift) == pytest.approx(0.25)
    assert shift_errors(still, still, shift).min() > 0.05
    assert overlap(12, 3) == (slice(0, 9), slice(3, 12)) and overlap(12, -2) == (slice(2, 12), slice(0, 10))


@pytest.mark.parametrize("angle", [0.4, math.pi / 2, 2.5, -1.0])
def test_a_wave_turns(angle: float) -> None:
    """As the continuous one, by more than 40 dB, where only pixels of the image count."""
    turned, inside = rotated(wave(40), torch.tensor([angle]))
    expected, _ = rotated(wave(40, angle), torch.zeros(1))
    squares = (turned - expected).square()[:, 0][inside]
    assert inside.float().mean() > 0.3
    assert decibel(float(squares.mean())) > 40
    (error,) = rotation_errors(wave(40), wave(40, angle), torch.tensor([angle]))
    assert error == pytest.approx(float(squares.mean()))


def test_an_image_that_does_not_turn_is_far_from_one_that_does() -> None:
    errors = rotation_errors(
        wave(40).expand(3, -1, -1, -1), wave(40).expand(3, -1, -1, -1), torch.tensor([0.3, 1.0, 2.0])
    )
    assert max(map(decibel, errors)) < 20


def test_a_constant_stays_one_and_frequencies_of_corners_vanish() -> None:
    turned, _ = rotated(torch.full((1, 1, 20, 20), 0.7), torch.tensor([0.6]))
    torch.testing.assert_close(turned, torch.full_like(turned, 0.7))
    checkerboard = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).tile(10, 10)[None, None]
    filtered, inside = rotated(checkerboard, torch.zeros(1))
    assert float(filtered[:, 0][inside].abs().max()) < 0.03
    assert float(kernel(torch.tensor(float(RADIUS)))) == 0 == float(kernel(torch.tensor(RADIUS + 1.5)))


def test_the_mask_leaves_out_what_comes_from_beyond_the_border() -> None:
    x = torch.rand(1, 1, 30, 30)
    outside = torch.nn.functional.pad(x, [6] * 4, value=50.0)
    for angle in (0.0, 0.7):
        turned, inside = rotated(x, torch.tensor([angle]))
        padded, _ = rotated(outside, torch.tensor([angle]))
        inner = padded[..., 6:-6, 6:-6]
        np.testing.assert_allclose(turned[:, 0][inside], inner[:, 0][inside], rtol=1e-4)
