"""The perceptual path length of linear generators is known."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from components.metrics.path_length import path_lengths, trimmed


def squared(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().sum((1, 2, 3))


def test_of_a_linear_generator_it_is_the_squared_length_of_the_image_of_a_path() -> None:
    """G(w) = A w and d(x, y) = |x - y|^2: the length is |A (w2 - w1)|^2 everywhere on a line."""
    random = torch.Generator().manual_seed(0)
    matrix = torch.randn(12, 5, generator=random, dtype=torch.float64)
    a, b = (torch.randn(7, 5, generator=random, dtype=torch.float64) for _ in range(2))

    def images(w: Tensor) -> Tensor:
        return (w @ matrix.T).reshape(-1, 3, 2, 2)

    expected = ((b - a) @ matrix.T).square().sum(1)
    for t in (torch.zeros(7), torch.rand(7, generator=random)):
        lengths = path_lengths(images, lambda t: torch.lerp(a, b, t[:, None]), squared, t.double())
        torch.testing.assert_close(lengths, expected, rtol=1e-6, atol=0)
    # The length of a step does not matter where images change evenly.
    long = path_lengths(images, lambda t: torch.lerp(a, b, t[:, None]), squared, torch.zeros(7).double(), 0.5)
    torch.testing.assert_close(long, expected)


def test_along_an_arc_it_is_the_squared_angle() -> None:
    def images(z: Tensor) -> Tensor:
        return z[:, :, None, None]

    def arc(t: Tensor) -> Tensor:
        return torch.stack([(math.pi / 3 * t).cos(), (math.pi / 3 * t).sin()], 1)

    lengths = path_lengths(images, arc, squared, torch.rand(4, dtype=torch.float64))
    torch.testing.assert_close(
        lengths, torch.full((4,), (math.pi / 3) ** 2, dtype=torch.float64), rtol=1e-6, atol=0
    )


def test_the_highest_and_lowest_values_are_left_out() -> None:
    values = np.random.default_rng(0).permutation(np.arange(1000.0))
    remaining = trimmed(values)
    assert remaining.min() == 9 and remaining.max() == 990 and len(remaining) == 982
    assert len(trimmed(np.array([1.0, 2.0]))) == 2
