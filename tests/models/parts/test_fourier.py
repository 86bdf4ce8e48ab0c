"""Fourier features: they move exactly, and have the frequencies that they may have."""

from __future__ import annotations

import math

import pytest
import torch

from models.parts.fourier import FourierInput

pytestmark = pytest.mark.usefixtures("seeded")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_features_are_mixed_sines() -> None:
    layer = FourierInput(5, 4, 2.0)
    weight = layer.weight.detach() / math.sqrt(5)
    found = layer(2)
    assert found.shape == (2, 5, 4, 4) and torch.equal(found[0], found[1])
    for row, y in enumerate((-0.375, -0.125, 0.125, 0.375)):
        p = torch.tensor([0.125, y])  # column 2
        sines = (2 * math.pi * (layer.frequencies @ p + layer.phases)).sin()
        torch.testing.assert_close(found[0, :, row, 2], weight @ sines)


def test_a_translation_is_exact() -> None:
    """By a pixel it is a shift of the pixels, by half a pixel twice the same."""
    layer = FourierInput(8, 4, 2.0)
    shift = torch.eye(3)
    shift[0, 2] = 1 / 4
    torch.testing.assert_close(layer(1, shift)[..., :-1], layer(1)[..., 1:])
    half = torch.eye(3)
    half[0, 2] = 1 / 8
    torch.testing.assert_close(layer(1, half @ half), layer(1, shift))


def test_a_quarter_turn_is_exact() -> None:
    layer = FourierInput(8, 4, 2.0)
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    torch.testing.assert_close(layer(1, turn), torch.rot90(layer(1), 1, (2, 3)), atol=1e-5, rtol=1e-5)


def test_each_image_may_have_its_own_transform() -> None:
    layer, transforms = FourierInput(6, 4, 2.0), torch.randn(3, 3, 3)
    together = layer(3, transforms)
    for image, transform in zip(together, transforms, strict=True):
        torch.testing.assert_close(image, layer(1, transform)[0], atol=1e-4, rtol=1e-4)


def test_frequencies_are_uniform_in_a_disc() -> None:
    radii = FourierInput(4000, 4, 2.0).frequencies.norm(dim=1)
    assert radii.max() <= 2 and float((radii < 1).float().mean()) == pytest.approx(1 / 4, abs=0.03)


def test_features_have_half_the_variance_of_their_amplitude() -> None:
    assert float(FourierInput(512, 16, 8.0)(1).detach().square().mean()) == pytest.approx(0.5, rel=0.1)
