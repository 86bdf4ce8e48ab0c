"""Fourier features move exactly."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from models.family import Motion
from models.parts.fourier import FourierInput, StyledFourierInput, moved, waves


def some(channels: int = 5) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    layer = FourierInput(channels, 16, 2.0)
    return layer.frequencies[None], layer.phases[None]


def test_frequencies_are_uniform_in_a_disc() -> None:
    torch.manual_seed(0)
    radii = FourierInput(4000, 4, 2.0).frequencies.norm(dim=1)
    assert radii.max() <= 2 and float((radii < 1).float().mean()) == pytest.approx(1 / 4, abs=0.03)


def test_features_are_mixed_sines() -> None:
    torch.manual_seed(0)
    layer = FourierInput(5, 4, 2.0)
    weight = layer.weight.detach() / math.sqrt(5)
    result = layer(2)
    assert result.shape == (2, 5, 4, 4) and torch.equal(result[0], result[1])
    for row, y in enumerate((-0.375, -0.125, 0.125, 0.375)):
        p = torch.tensor([0.125, y])  # column 2
        sines = (2 * math.pi * (layer.frequencies @ p + layer.phases)).sin()
        torch.testing.assert_close(result[0, :, row, 2], weight @ sines)


def test_a_margin_adds_pixels_around_the_canvas() -> None:
    torch.manual_seed(0)
    plain, wide = FourierInput(5, 8, 2.0), FourierInput(5, 12, 2.0, rate=8)
    wide.load_state_dict(plain.state_dict())
    torch.testing.assert_close(wide(1)[..., 2:-2, 2:-2], plain(1), atol=1e-5, rtol=1e-5)


def test_each_image_may_have_its_own_motion() -> None:
    torch.manual_seed(0)
    layer, angle, shift = FourierInput(6, 4, 2.0), torch.randn(3), torch.randn(3, 2)
    together = layer(3, Motion(angle, shift))
    for i, image in enumerate(together):
        torch.testing.assert_close(image, layer(1, Motion(angle[i : i + 1], shift[i : i + 1]))[0])


def test_a_shift_by_whole_pixels_moves_the_samples() -> None:
    frequencies, phases = some()
    still = waves(frequencies, phases, 24, 16)
    shift = torch.tensor([[3 / 16, -2 / 16]])  # to the right and up
    there = waves(*moved(frequencies, phases, Motion(torch.zeros(1), shift)), 24, 16)
    torch.testing.assert_close(there[..., :-2, 3:], still[..., 2:, :-3], atol=1e-4, rtol=0)


def test_a_quarter_turn_rotates_the_samples() -> None:
    """From x (right) to y (down), which is clockwise on the screen."""
    frequencies, phases = some()
    still = waves(frequencies, phases, 24, 16)
    quarter = Motion(torch.tensor([math.pi / 2]), torch.zeros(1, 2))
    there = waves(*moved(frequencies, phases, quarter), 24, 16)
    torch.testing.assert_close(there, still.rot90(-1, (2, 3)), atol=1e-4, rtol=0)


def test_any_motion_is_that_of_the_coordinates() -> None:
    """z(R^-1 (x - t)), pixel by pixel."""
    (frequencies, phases), angle, shift = some(), 0.7, torch.tensor([0.13, -0.21])
    there = waves(*moved(frequencies, phases, Motion(torch.tensor([angle]), shift[None])), 6, 4)
    c, s = math.cos(angle), math.sin(angle)
    for i in range(6):
        for j in range(6):
            x, y = (j - 2.5) / 4 - float(shift[0]), (i - 2.5) / 4 - float(shift[1])
            back = torch.tensor([c * x + s * y, -s * x + c * y])
            expected = torch.sin(2 * math.pi * (frequencies[0] @ back + phases[0]))
            torch.testing.assert_close(there[0, :, i, j], expected, atol=1e-5, rtol=0)


def test_the_input_begins_without_a_motion_and_learns_one() -> None:
    torch.manual_seed(0)
    layer, w = StyledFourierInput(8, 6, 24, 2.0, 16), torch.randn(3, 8)
    motion = layer.motion(w)
    assert not motion.angle.any() and not motion.shift.any()
    x = layer(w)
    assert x.shape == (3, 6, 24, 24) and torch.equal(x[0], x[1])
    assert float(x.detach().square().mean()) == pytest.approx(0.5, abs=0.25)  # of sines, mixed at unit gain
    x.square().sum().backward()
    assert layer.affine.weight.grad is not None and layer.affine.weight.grad.any()
    with torch.no_grad():
        layer.affine.bias.copy_(torch.tensor([0.0, 2.0, 0.5, 0.0]))
    motion = layer.motion(w)
    torch.testing.assert_close(motion.angle, torch.full((3,), math.pi / 2))
    torch.testing.assert_close(motion.shift, torch.tensor([[0.25, 0.0]]).expand(3, -1))
