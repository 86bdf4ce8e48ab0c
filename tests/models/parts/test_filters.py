"""Low-pass filters against their rules, and the filtered leaky ReLU against a loop over pixels."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from models.parts.filters import (
    Band,
    Resampling,
    bands,
    filtered_leaky_relu,
    jinc,
    kaiser_beta,
    low_pass,
    radial_low_pass,
    resampling,
)
from tests.models.parts.derivatives import assert_equal_derivatives
from tests.models.parts.test_upfirdn import slow_upfirdn


def response(f: Tensor, frequency: Tensor, rate: float) -> Tensor:
    """The magnitude of a symmetric filter's spectrum at some frequencies."""
    places = (torch.arange(len(f), dtype=torch.float64) - (len(f) - 1) / 2) / rate
    return (f.double() * torch.cos(2 * math.pi * frequency[:, None] * places)).sum(1).abs()


@pytest.mark.parametrize(("taps", "cutoff", "half_width", "rate"), [
    (12, 2.0, 2.0, 16.0),
    (24, 4.0, 4.0, 32.0),
    (24, 4.0, 1.5, 32.0),
    (64, 8.0, 2.0, 64.0),
])  # fmt: skip
def test_a_filter_keeps_its_pass_band_and_attenuates_its_stop_band(
    taps: int, cutoff: float, half_width: float, rate: float
) -> None:
    """By what Kaiser's formula promises: A = 2.285 (n - 1) pi width / (rate / 2) + 7.95 dB."""
    f = low_pass(taps, cutoff, half_width, rate)
    assert float(f.sum()) == pytest.approx(1, abs=1e-6) and torch.equal(f, f.flip(0))
    promised = 2.285 * (taps - 1) * math.pi * 2 * half_width / (rate / 2) + 7.95
    stop = response(f, torch.linspace(cutoff + half_width, rate / 2, 200, dtype=torch.float64), rate)
    assert -20 * math.log10(float(stop.max())) > promised - 2
    keep = response(f, torch.linspace(0, cutoff - half_width, 50, dtype=torch.float64), rate)
    torch.testing.assert_close(
        keep, torch.ones(50, dtype=torch.float64), atol=10 ** (1 - promised / 20), rtol=0
    )
    middle = response(f, torch.tensor([cutoff], dtype=torch.float64), rate)
    assert float(middle) == pytest.approx(0.5, abs=0.02)


def test_the_window_follows_kaisers_formulas() -> None:
    """The three pieces of Oppenheim & Schafer, Eq. 7.75, at attenuations of 60, 40 and 10 dB."""
    for attenuation, beta in ((60.0, 0.1102 * 51.3), (40.0, 0.5842 * 19**0.4 + 0.07886 * 19), (10.0, 0.0)):
        width = (attenuation - 7.95) / (2.285 * 11 * math.pi)  # of half the rate
        assert kaiser_beta(12, width * 8, 16) == pytest.approx(beta)


def test_a_radial_filter_treats_all_directions_alike() -> None:
    f = radial_low_pass(12, 2.0, 2.0, 16.0).double()
    assert float(f.sum()) == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(f, f.T)
    torch.testing.assert_close(f, f.flip(0))
    places = (torch.arange(12, dtype=torch.float64) - 5.5) / 16
    separable = low_pass(12, 2.0, 2.0, 16.0).double()
    spread = {}
    for name, kernel in (("radial", f), ("separable", torch.outer(separable, separable))):
        values = []
        for angle in torch.linspace(0, math.pi / 2, 13):
            x = places[:, None] * math.sin(angle) + places * math.cos(angle)
            values.append((kernel * torch.cos(2 * math.pi * 3.0 * x)).sum())
        spread[name] = float(torch.stack(values).max() - torch.stack(values).min())
    assert spread["radial"] < 0.005 < 0.05 < spread["separable"]


def test_jinc_is_the_transform_of_a_disc() -> None:
    """Its value at x is the mean of cos(pi x r cos t) over the unit disc."""
    radius = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    angle = (torch.arange(64, dtype=torch.float64) + 0.5) / 64 * math.pi
    for x in (0.0, 0.3, 1.0, 2.2):
        rings = torch.cos(math.pi * x * radius[:, None] * torch.cos(angle)).mean(1)
        expected = (2 * radius * rings).mean()
        assert float(jinc(torch.tensor(x, dtype=torch.float64))) == pytest.approx(float(expected), abs=1e-6)


def test_the_bands_of_the_paper() -> None:
    """Fig. 4 (c), for 1024 pixels: rates, sizes with a margin of 10, and two critically sampled layers."""
    result = bands(1024, 14)
    assert [band.rate for band in result] == [16, 16, 32, 32, 64, 128, 128, 256, 256, 512, *[1024] * 5]
    assert [band.size for band in result[:3]] == [36, 36, 52]
    assert [band.size for band in result[-3:]] == [1044, 1024, 1024]
    assert (result[0].cutoff, result[0].stopband, result[0].half_width) == (2, 2**2.1, 6)
    assert [band.cutoff for band in result[-3:]] == [512] * 3
    assert result[-1].half_width == pytest.approx(512 * (2**0.3 - 1))
    assert [band.radial for band in result] == [True] * 12 + [False] * 3
    ratios = [b.cutoff / a.cutoff for a, b in zip(result[:12], result[1:13], strict=True)]
    assert ratios == pytest.approx([256 ** (1 / 12)] * 12)
    for band in result:
        assert band.rate >= min(2 * band.stopband, 1024) and band.cutoff <= band.rate / 2
    assert result[0] == Band(2.0, 2**2.1, 16, 36, radial=True)


def slow_filtered(x: Tensor, f_up: Tensor, f_down: Tensor, plan: Resampling, clamp: float) -> Tensor:
    """The definition, step by step, on loops over pixels."""
    y = slow_upfirdn(x, f_up, plan.up, 1, plan.padding, plan.up**2)
    y = torch.where(y < 0, 0.2 * y, y) * math.sqrt(2)
    y = torch.where(y.abs() > clamp, clamp * y.sign(), y)
    return slow_upfirdn(y, f_down, 1, plan.down, (0, 0), 1.0)


@pytest.mark.parametrize(("before", "after", "up", "taps_up", "taps_down", "radial"), [
    (6, 4, 2, 4, 4, False),
    (6, 6, 4, 8, 4, False),
    (5, 4, 2, 4, 4, True),
])  # fmt: skip
def test_filtered_leaky_relu_is_its_definition(
    before: int, after: int, up: int, taps_up: int, taps_down: int, radial: bool
) -> None:
    """Values and first and second derivatives; some values are clamped."""
    torch.manual_seed(0)
    f_up = low_pass(taps_up, 2.0, 2.0, 8.0).double()
    f_down = radial_low_pass(taps_down, 2.0, 2.0, 8.0) if radial else low_pass(taps_down, 2.0, 2.0, 8.0)
    plan, f_down = resampling(before, after, up, 2, taps_up, taps_down), f_down.double()
    assert_equal_derivatives(
        lambda x: filtered_leaky_relu(x, f_up, f_down, plan, clamp=1.0),
        lambda x: slow_filtered(x, f_up, f_down, plan, 1.0),
        torch.randn(2, 2, before, before),
    )


@pytest.mark.parametrize("up", [2, 4])
def test_a_constant_stays_one_but_for_the_gain(up: int) -> None:
    f_up, f_down = low_pass(6 * up, 4.0, 2.0, 16.0 * up), low_pass(12, 4.0, 2.0, 32.0)
    plan = resampling(20, 20 * up // 2 - 8, up, 2, 6 * up, 12)
    for value, expected in ((0.5, 0.5 * math.sqrt(2)), (-0.5, -0.1 * math.sqrt(2))):
        y = filtered_leaky_relu(torch.full((1, 1, 20, 20), value), f_up, f_down, plan)
        assert y.shape[-1] == 20 * up // 2 - 8
        inside = y[..., 4:-4, 4:-4]
        torch.testing.assert_close(inside, torch.full_like(inside, expected), rtol=2e-3, atol=0)


@pytest.mark.parametrize("up", [2, 4])
def test_both_images_have_the_same_centre(up: int) -> None:
    """A wave in a linear layer comes out as the same wave, at the places of the new samples."""
    before, rate = 40, 16.0
    after, f_up = 20 * up, low_pass(12 * up, 4.0, 3.0, rate * up)
    f_down = low_pass(24, 4.0, 3.0, rate * up)

    def wave(size: int, rate: float) -> Tensor:
        x = (torch.arange(size) - (size - 1) / 2) / rate
        return torch.cos(2 * math.pi * 0.8 * x + 0.3).expand(1, 1, size, size).contiguous()

    plan = resampling(before, after, up, 2, 12 * up, 24)
    y = filtered_leaky_relu(wave(before, rate), f_up, f_down, plan, slope=1.0, gain=1.0)
    expected = wave(after, rate * up / 2)
    inside = slice(12, -12)
    torch.testing.assert_close(y[..., inside, inside], expected[..., inside, inside], atol=2e-2, rtol=0)


def test_filtering_makes_a_shift_commute_with_the_non_linearity() -> None:
    """Sec. 2.2: a shift by half a sample before or after gives the same, unlike without filters."""
    size, rate = 48, 16.0

    def wave(shift: float) -> Tensor:
        x = (torch.arange(size) - (size - 1) / 2) / rate - shift
        return (torch.cos(2 * math.pi * 2 * x) + torch.sin(2 * math.pi * x)).expand(1, 1, size, size)

    f = low_pass(12, 2.0, 6.0, 32.0)
    plan = resampling(size, size, 2, 2, 12, 12)
    errors = {}
    for name in ("filtered", "plain"):

        def layer(x: Tensor, name: str = name) -> Tensor:
            if name == "plain":
                return torch.nn.functional.leaky_relu(x, 0.2) * math.sqrt(2)
            return filtered_leaky_relu(x.contiguous(), f, f, plan)

        whole, half = layer(wave(0.0)), layer(wave(0.5 / rate))
        spectrum = torch.fft.rfft(whole[0, 0, 24, 8:40])
        shifted = torch.fft.irfft(spectrum * torch.exp(-2j * math.pi * torch.arange(17) / 32 * 0.5), 32)
        errors[name] = float((shifted - half[0, 0, 24, 8:40]).abs().max())
    assert errors["filtered"] < 0.02 < 0.05 < errors["plain"]
