"""ADA's pipeline: each transformation by hand, what it leaves exact, its probabilities and derivatives."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from models.parts import ada
from models.parts.ada import KINDS, SYM6, pipeline, resampled, rotation, scaling, translation
from models.parts.losses import zero_centred

EVERY = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def picture(n: int = 1, channels: int = 1, size: int = 8) -> Tensor:
    return torch.rand(n, channels, size, size, dtype=torch.float64) * 2 - 1


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_the_filter_is_orthonormal_and_has_six_vanishing_moments() -> None:
    h, k = numbers(*SYM6), torch.arange(12.0).double()
    for shift in range(6):
        assert float((h[: 12 - 2 * shift] * h[2 * shift :]).sum()) == pytest.approx(
            float(shift == 0), abs=1e-8
        )
    for moment in range(6):
        assert float(((-1) ** k * k**moment * h).sum()) == pytest.approx(0, abs=1e-6)
    assert float(h.sum()) == pytest.approx(math.sqrt(2))


# Geometry.


@pytest.mark.parametrize("size", [7, 8, 32])
def test_no_change_is_exact(size: int) -> None:
    x = picture(2, 3, size)
    torch.testing.assert_close(resampled(x, ada.identity(x)), x, atol=1e-9, rtol=0)


@pytest.mark.parametrize(("columns", "rows"), [(1, 0), (0, 2), (-2, 1)])
def test_whole_pixels_are_moved_exactly(columns: int, rows: int) -> None:
    """The result at q is the image at q + t; borders are reflected without their outer pixels."""
    x = picture(1, 2, 24)
    moved = resampled(x, translation(numbers(columns * 2 / 24), numbers(rows * 2 / 24), 1.0))
    padded = torch.nn.functional.pad(x, [2, 2, 2, 2], mode="reflect")
    expected = padded[..., 2 + rows : 26 + rows, 2 + columns : 26 + columns]
    inside = slice(8, -8)  # beyond the border the filter, which is not symmetric, reads it mirrored
    torch.testing.assert_close(moved[..., inside, inside], expected[..., inside, inside])


def smooth(size: int = 16) -> Tensor:
    """A picture without details, which resampling keeps."""
    u = torch.linspace(-1, 1, size, dtype=torch.float64)
    return (u[:, None].sin() + 0.5 * (2 * u + 1).cos())[None, None]


def test_turns_and_mirrors() -> None:
    x = smooth()
    turned = resampled(x, rotation(numbers(math.pi / 2)))
    mirrored = resampled(x, scaling(numbers(-1), numbers(1)))
    for result, expected in ((turned, torch.rot90(x, 1, (2, 3))), (mirrored, x.flip(3))):
        torch.testing.assert_close(result[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], atol=0.02, rtol=0)


def test_a_scale_of_a_half_shows_the_middle() -> None:
    x = smooth(32)
    large = resampled(x, scaling(numbers(0.5), numbers(0.5)))
    expected = torch.nn.functional.interpolate(x[..., 8:24, 8:24], scale_factor=2, mode="bicubic")
    torch.testing.assert_close(large[..., 4:-4, 4:-4], expected[..., 4:-4, 4:-4], atol=0.03, rtol=0)


def test_coordinates_are_reflected_about_outer_pixels() -> None:
    folded = ada.reflected(numbers(-1, -0.5, 0, 3, 3.5, 4, 6, 7), 4)
    assert folded.tolist() == [1, 0.5, 0, 3, 2.5, 2, 0, 1]


def test_bilinear_sampling_is_between_pixels() -> None:
    x = torch.arange(9.0).view(1, 1, 3, 3).double()
    result = ada.bilinear(x, numbers(0, 1.5, 2).view(1, 1, 3), numbers(0, 0.25, 2).view(1, 1, 3))
    assert result.flatten().tolist() == [0, 0.25 + 4.5, 8]


def test_blits_mirror_turn_and_move_by_whole_pixels() -> None:
    x = picture(4000)
    matrix = ada.blits(ada.identity(x), 16, 1.0)
    moves = matrix[:, :2, 2] * 16 / 2
    torch.testing.assert_close(moves, moves.round(), atol=1e-9, rtol=0)
    assert round(float(moves.abs().max())) == 2  # an eighth of 16
    cells = (matrix[:, :2, :2].round() * torch.tensor([[1, 3], [9, 27]])).sum((1, 2))
    values, counts = cells.unique(return_counts=True)
    assert len(values) == 8 and counts.min() > 400  # all symmetries of a square


def test_geometric_transformations_have_the_papers_scales() -> None:
    x = picture(20000)
    matrix = ada.geometric(ada.identity(x), 1 - 1e-9)
    area = torch.linalg.det(matrix).log2()  # twice the exponent of the scale
    assert float(area.std()) == pytest.approx(0.4, rel=0.05) and abs(float(area.mean())) < 0.02
    ratio = torch.linalg.svdvals(matrix[:, :2, :2]).log2()
    assert float((ratio[:, 0] - ratio[:, 1]).square().mean().sqrt()) == pytest.approx(0.4, rel=0.05)
    turns = torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0])
    assert float(turns.std()) == pytest.approx(math.pi / math.sqrt(3), rel=0.05)


def test_rotations_happen_with_probability_p() -> None:
    x, p = picture(20000), 0.3
    matrix = ada.geometric(ada.identity(x), p)
    rotated = matrix[:, 1, 0].abs() > 1e-9
    assert float(rotated.double().mean()) == pytest.approx(p, abs=0.02)


# Colour.


def test_colours_keep_the_roles_of_their_axes() -> None:
    """Brightness and luma move greys; hue and saturation leave them."""
    x = picture(8000, 3, 2)
    m, b = ada.colours(x, 1.0)
    grey = torch.ones(3, 1, dtype=torch.float64)
    torch.testing.assert_close(m @ grey, (m @ grey).mean(1, keepdim=True).expand(-1, 3, 1))
    luma = (m @ grey)[:, 0, 0]  # contrast, negative where the luma is inverted
    assert float((luma < 0).double().mean()) == pytest.approx(0.5, abs=0.03)
    assert float(luma.abs().log2().std()) == pytest.approx(0.5, rel=0.05)
    assert float((b[:, 0, 0] / luma).std()) == pytest.approx(0.2, rel=0.05)
    chroma = torch.linalg.det(m).abs().log2() - luma.abs().log2()  # of two axes: contrast and saturation
    assert float((chroma / 2 - luma.abs().log2()).std()) == pytest.approx(1.0, rel=0.05)


def test_grey_images_are_recoloured_as_three_equal_colours() -> None:
    x = picture(50, 1)
    m, b = ada.colours(x.expand(-1, 3, -1, -1), 0.7)
    coloured = ada.recoloured(x.expand(-1, 3, -1, -1), m, b)
    torch.testing.assert_close(ada.recoloured(x, m, b), coloured.mean(1, keepdim=True))


# The pipeline.


@EVERY
def test_without_probability_a_picture_is_itself(kind: str) -> None:
    x = picture(4, 3)
    assert pipeline(x, [kind], 0.0) is x and pipeline(x, [kind], torch.tensor(0.0)) is x


@EVERY
def test_shape_type_and_size_stay(kind: str) -> None:
    for channels in (1, 3):
        x = picture(3, channels, 8).float()
        changed = pipeline(x, [kind], 0.99)
        assert changed.shape == x.shape and changed.dtype == x.dtype and not torch.equal(changed, x)


def test_images_are_changed_apart_and_with_probability_p() -> None:
    x = picture(1, 3).expand(2000, -1, -1, -1)
    changed = pipeline(x, ["ada_colour"], 0.2)
    same = (changed - x).abs().flatten(1).amax(1) < 1e-9
    # Of five transformations; inverting is half a chance.
    assert float(same.double().mean()) == pytest.approx(0.8**4 * 0.9, abs=0.04)


@EVERY
def test_images_and_samples_are_changed_alike(kind: str) -> None:
    a, b = picture(6), picture(6)
    changed = []
    for x in (a, b, a - b, torch.zeros_like(a)):
        torch.manual_seed(3)
        changed.append(pipeline(x, [kind], 0.8))
    torch.testing.assert_close(changed[0] - changed[1], changed[2] - changed[3])


@EVERY
def test_a_penalty_sees_through(kind: str) -> None:
    """R1 of an augmented picture, differentiated numerically by D's weights."""
    x, weight = picture(2, 1, 6).requires_grad_(), torch.randn(1, 6, 6).double().requires_grad_()

    def penalty(weight: Tensor) -> Tensor:
        torch.manual_seed(1)
        score = (pipeline(x, [kind], 0.9) * weight).flatten(1).sum(1)
        return zero_centred(score.sin(), x).double()

    # Loosely, since penalties are float32.
    assert torch.autograd.gradcheck(penalty, weight, eps=1e-3, atol=1e-2, rtol=1e-2)


def test_resampling_can_be_differentiated_twice() -> None:
    x, matrix = picture(1, 1, 4).requires_grad_(), rotation(numbers(0.4))
    assert torch.autograd.gradgradcheck(lambda x: resampled(x, matrix).pow(3), x)
