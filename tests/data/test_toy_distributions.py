"""Targets with known modes: what is drawn, and what is said of samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from components.data import toy_distributions


@pytest.mark.parametrize(
    ("mixture", "modes"), [(toy_distributions.ring(), 8), (toy_distributions.grid(), 25)]
)
def test_the_target_covers_its_own_modes(mixture: toy_distributions.Mixture, modes: int) -> None:
    points = mixture.draw(5000, torch.Generator().manual_seed(0)).flatten(1)
    counts, near = mixture.modes(points)
    assert toy_distributions.covered(counts) == modes and points.abs().max() < 1
    assert near == pytest.approx(
        1 - math.exp(-(toy_distributions.NEAR**2) / 2), abs=0.005
    )  # Rayleigh's distribution
    assert toy_distributions.reverse_kl(counts) < 0.01


def test_a_source_is_a_function_of_seed_step_and_shard() -> None:
    source = toy_distributions.Points(toy_distributions.ring(), 16, seed=3)
    assert torch.equal(source.at(5, 1, 2).image, source.at(5, 1, 2).image)
    assert not torch.equal(source.at(5, 0, 2).image, source.at(5, 1, 2).image)
    assert len(source.at(5, 1, 2)) == 8


def test_stacked_digits_have_a_digit_in_each_channel() -> None:
    digits = np.repeat(np.arange(10, dtype=np.uint8), 5)[:, None, None, None] * np.ones(
        (1, 1, 28, 28), np.uint8
    )
    batch = toy_distributions.StackedDigits(digits, 64, seed=0).at(0)
    images = ((batch.image + 1) * 127.5).round().to(torch.uint8).numpy()
    assert images.shape == (64, 3, 28, 28)
    counts = toy_distributions.stacked_modes(images, lambda x: x[:, 0, 0, 0].astype(int))
    assert counts.sum() == 64 and toy_distributions.covered(counts) > 55
    first = images[0, :, 0, 0].astype(int)
    assert counts[100 * first[0] + 10 * first[1] + first[2]] >= 1


def test_reverse_kl_in_closed_form() -> None:
    assert toy_distributions.reverse_kl(np.array([5, 5, 5, 5])) == 0
    assert toy_distributions.reverse_kl(np.array([7, 0, 0, 0])) == pytest.approx(math.log(4))
    assert toy_distributions.reverse_kl(np.array([3, 1]), np.array([0.75, 0.25])) == pytest.approx(0)
    expected = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert toy_distributions.reverse_kl(np.array([1, 1]), np.array([0.75, 0.25])) == pytest.approx(expected)
    assert toy_distributions.reverse_kl(np.zeros(4, int)) == math.inf


def test_energy_distance_in_closed_form() -> None:
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(3000, 1, generator=g), torch.randn(3000, 1, generator=g)
    assert abs(toy_distributions.energy_distance(x, y)) < 0.01
    # Far apart, E|X - Y| is the distance d: 2 d - 2 * 2 / sqrt(pi).
    expected = 2 * 20 - 4 / math.sqrt(math.pi)
    assert toy_distributions.energy_distance(x, y + 20) == pytest.approx(expected, rel=0.01)


def test_a_point_outside_of_every_mode_is_of_none() -> None:
    counts, near = toy_distributions.ring().modes(torch.zeros(10, 2))
    assert near == 0 and toy_distributions.covered(counts) == 0
