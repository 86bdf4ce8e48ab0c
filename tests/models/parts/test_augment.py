"""Augmentations by hand on small pictures; what adapts them; that a penalty sees through them."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from models.parts import augment
from models.parts.augment import KINDS, adjusted, augmented, warp
from models.parts.losses import zero_centred

EVERY = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def picture(n: int = 1, channels: int = 1, size: int = 6) -> Tensor:
    """(n, channels, size, size) in [-1, 1], no two pixels alike."""
    return torch.rand(n, channels, size, size) * 2 - 1


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# Each augmentation.


def test_translation_is_a_shift_that_repeats_the_border() -> None:
    x = picture(size=6)
    framed = pad(x, [1] * 4, mode="replicate")[0, 0]
    shifted = {(i, j): framed[i : i + 6, j : j + 6] for i, j in product(range(3), range(3))}
    visited = set()
    for image in augment.translation(x.expand(200, -1, -1, -1))[:, 0]:
        (shift,) = (s for s, expected in shifted.items() if torch.equal(image, expected))
        visited.add(shift)
    assert visited == set(shifted)  # an eighth of 6 pixels is one, each way


def test_images_of_a_batch_move_apart_and_their_channels_together() -> None:
    x = picture(channels=1, size=16).expand(50, 3, -1, -1)
    moved = augment.translation(x)
    assert len({tuple(image[0].flatten().tolist()) for image in moved}) > 10
    assert torch.equal(moved[:, 0], moved[:, 1]) and torch.equal(moved[:, 0], moved[:, 2])


def test_cutout_is_one_square_of_half_the_size() -> None:
    x = torch.ones(300, 2, 8, 8)
    holes = augment.cutout(x) == 0
    assert torch.equal(holes[:, 0], holes[:, 1])
    for hole in holes[:, 0]:
        rows, columns = hole.any(1), hole.any(0)
        assert torch.equal(hole, rows[:, None] & columns[None])
        for side in (rows, columns):
            where = side.nonzero().flatten().tolist()
            assert where == list(range(where[0], where[-1] + 1)) and 2 <= len(where) <= 4
    assert holes.any(0).all()  # anywhere


@pytest.mark.parametrize(("size", "side"), [(6, 3), (7, 3), (8, 4), (28, 14)])
def test_a_whole_hole_is_half_as_wide_as_the_picture(size: int, side: int) -> None:
    """As in the authors' code; a smaller one is cut off by the border, and its middle still is inside."""
    widths = (augment.cutout(torch.ones(300, 1, size, size)) == 0)[:, 0].any(1).sum(1)
    assert widths.max() == side and widths.min() == side // 2 + side % 2


def test_colour_of_a_grey_picture_is_brightness_and_contrast() -> None:
    x = picture(300)
    changed = augment.colour(x)
    means, deviation = x.mean((1, 2, 3)), x - x.mean((1, 2, 3), keepdim=True)
    brightness = changed.mean((1, 2, 3)) - means
    contrast = (changed * deviation).sum((1, 2, 3)) / deviation.square().sum((1, 2, 3))
    for values, low, high in ((brightness, -0.5, 0.5), (contrast, 0.5, 1.5)):
        assert low <= values.min() < low + 0.1 and high - 0.1 < values.max() <= high
    expected = (means + brightness)[:, None, None, None] + contrast[:, None, None, None] * deviation
    torch.testing.assert_close(changed, expected)


def test_saturation_moves_colours_to_and_from_their_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    x, drawn = picture(channels=3), iter([0.25, 0.0, 1.0])
    monkeypatch.setattr(augment, "uniform", lambda *_: torch.tensor(next(drawn)))
    grey = (x.mean(1, keepdim=True) + 0.25).expand(-1, 3, -1, -1)
    torch.testing.assert_close(augment.colour(x), grey)


def test_a_warp_by_nothing_is_nothing() -> None:
    x = picture(3, 2, 7)
    torch.testing.assert_close(warp(x, torch.ones(3), torch.zeros(3)), x)


@pytest.mark.parametrize("size", [5, 6])
def test_a_warp_by_a_quarter_turns_the_picture(size: int) -> None:
    x = picture(2, 2, size).double()
    turned = warp(x, numbers(0, 0), numbers(1, -1))
    torch.testing.assert_close(turned[0], torch.rot90(x[0], 1, (1, 2)))
    torch.testing.assert_close(turned[1], torch.rot90(x[1], -1, (1, 2)))


def test_a_warp_of_a_half_reads_between_pixels() -> None:
    """At (p_y / 2, p_x / 2): of a 3 x 3 picture its middle, and points half-way to the border."""
    x = torch.arange(9.0).view(1, 1, 3, 3).double()
    expected = numbers(2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6).view(1, 1, 3, 3)
    torch.testing.assert_close(warp(x, numbers(0.5), numbers(0)), expected)


def test_outside_of_a_picture_its_border_repeats() -> None:
    """At (3 p_y, 3 p_x) a 3 x 3 picture shows its middle, and its corners and edges around."""
    x = torch.arange(9.0).view(1, 1, 3, 3).double()
    torch.testing.assert_close(warp(x, numbers(3), numbers(0)), x)


def test_geometry_is_a_bounded_turn_and_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "warp", lambda x, a, b: (a, b))
    a, b = augment.geometry(picture(2000))
    angle, scale = torch.atan2(b, a), -torch.hypot(a, b).log2()
    for values, most in ((angle, math.pi / 6), (scale, 0.3)):
        assert -most - 1e-6 <= values.min() < -0.98 * most and 0.98 * most < values.max() <= most + 1e-6


@EVERY
@pytest.mark.parametrize("direction", ["right", "down"])
def test_nothing_is_mirrored(kind: str, direction: str) -> None:
    """What grows brighter that way still does."""
    ramp = torch.linspace(-0.5, 0.5, 16).expand(16, -1)
    ramp = ramp if direction == "right" else ramp.T
    changed = KINDS[kind](ramp.expand(500, 1, -1, -1))
    assert ((changed * ramp).sum((1, 2, 3)) > 0).all()


@pytest.mark.parametrize("kind", ["translation", "cutout", "geometry"])
def test_what_only_moves_pixels_stays_in_range(kind: str) -> None:
    x = picture(200, 3, 9).sign()
    assert KINDS[kind](x).abs().max() <= 1


@EVERY
def test_shape_type_and_memory_of_a_picture_stay(kind: str) -> None:
    x = picture(4, 3, 10).contiguous(memory_format=torch.channels_last)
    changed = KINDS[kind](x)
    assert changed.shape == x.shape and changed.dtype == x.dtype
    assert not torch.equal(changed, x)


# All together.


def test_each_is_applied_with_its_probability() -> None:
    x = torch.ones(4000, 1, 8, 8)
    for p in (0.0, 0.3, 1.0):
        changed = (augmented(x, ["cutout"], torch.tensor(p)) != x).flatten(1).any(1)
        assert float(changed.float().mean()) == pytest.approx(p, abs=0.03)
    both = augmented(x, ["colour", "cutout"], 0.5)
    lit, cut = (both[:, 0].amax((1, 2)) != 1), (both == 0).flatten(1).any(1)
    for choice in (lit & cut, lit & ~cut, ~lit & cut, ~lit & ~cut):
        assert float(choice.float().mean()) == pytest.approx(0.25, abs=0.04)  # independently


def test_without_kinds_or_probability_a_picture_is_itself() -> None:
    x = picture(4, 3)
    assert augmented(x, []) is x
    assert torch.equal(augmented(x, list(KINDS), 0.0), x)


@EVERY
def test_images_and_samples_are_changed_alike(kind: str) -> None:
    """The change depends on the random state alone, not on what is changed: a - b is changed as a and b."""
    a, b = picture(6), picture(6)
    changed = []
    for x in (a, b, a - b, torch.zeros_like(a)):
        torch.manual_seed(3)
        changed.append(augmented(x, [kind]))
    torch.testing.assert_close(changed[0] - changed[1], changed[2] - changed[3])


@EVERY
def test_a_penalty_sees_through(kind: str) -> None:
    """R1 of an augmented picture, differentiated numerically by D's weights."""
    x, weight = picture(2, 2, 5).double().requires_grad_(), torch.randn(2, 5, 5).double().requires_grad_()

    def penalty(weight: Tensor) -> Tensor:
        torch.manual_seed(1)
        score = (augmented(x, [kind]) * weight).flatten(1).sum(1)
        return zero_centred(score.sin(), x).double()

    # Loosely, since penalties are float32.
    assert torch.autograd.gradcheck(penalty, weight, eps=1e-3, atol=1e-2, rtol=1e-2)


def test_a_warp_can_be_differentiated_twice() -> None:
    x, angle = picture(2, 1, 4).double().requires_grad_(), numbers(0.4, -0.2)
    assert torch.autograd.gradgradcheck(lambda x: warp(x, angle.cos(), angle.sin()).pow(3), x)


def test_a_gradient_returns_to_the_pixel_it_came_from() -> None:
    x = picture(1, 1, 4).double().requires_grad_()
    turned = warp(x, numbers(0), numbers(1))
    (slope,) = torch.autograd.grad(turned[0, 0, 0, 1], x)
    assert float(slope.abs().sum()) == pytest.approx(1)
    assert torch.allclose((slope * x).sum(), turned[0, 0, 0, 1])


# What adapts them.


@pytest.mark.parametrize(("p", "r_t", "after"), [
    (0.5, 0.9, 0.51),
    (0.5, 0.1, 0.49),
    (0.5, 0.6, 0.5),
    (0.0, -1.0, 0.0),
    (1.0, 1.0, 1.0),
    (0.995, 1.0, 1.0),
])  # fmt: skip
def test_p_moves_by_one_step_and_stays_a_probability(p: float, r_t: float, after: float) -> None:
    result = adjusted(torch.tensor(p), torch.tensor(r_t), target=0.6, steps=100)
    assert float(result) == pytest.approx(after)
