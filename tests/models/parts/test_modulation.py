"""Modulated convolution against a convolution per image, with its derivatives; what demodulation is for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, pad

from models.parts.modulation import NoiseInput, demodulation, modulated_conv
from models.parts.upfirdn import fir_filter, upfirdn
from tests.models.parts.derivatives import assert_equal_derivatives

F = fir_filter([1, 3, 3, 1]).double()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def slow_modulated_conv(
    x: Tensor, weight: Tensor, style: Tensor, demodulate: bool, up: bool, padding: int | None = None
) -> Tensor:
    """Eq. 1 to 3 of the paper: the weights of each image, and a group of convolutions for each."""
    (n, channels, height, width), outputs = x.shape, len(weight)
    w = weight[None] * style[:, None, :, None, None]  # (N, O, I, k, k)
    if demodulate:
        w = w / (w.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    x = x.reshape(1, n * channels, height, width)
    if up:
        w = w.transpose(1, 2).reshape(n * channels, outputs, *w.shape[3:])
        y = conv_transpose2d(x, w, stride=2, groups=n)
        k = w.shape[-1]
        y = upfirdn(pad(y, [3 - k] * 4), F, padding=(1, 1), gain=4.0)
    else:
        margin = w.shape[-1] // 2 if padding is None else padding
        y = conv2d(x, w.reshape(n * outputs, *w.shape[2:]), padding=margin, groups=n)
    return y.view(n, outputs, *y.shape[2:])


@pytest.mark.parametrize("demodulate", [False, True])
@pytest.mark.parametrize(
    ("size", "up", "padding"), [(1, False, None), (3, False, None), (3, False, 2), (3, True, None)]
)
def test_scaling_images_is_scaling_weights(
    demodulate: bool, size: int, up: bool, padding: int | None
) -> None:
    inputs = torch.randn(3, 4, 5, 5), torch.randn(2, 4, size, size), torch.randn(3, 4)
    assert_equal_derivatives(
        lambda x, w, s: modulated_conv(x, w, s, demodulate=demodulate, up=F if up else None, padding=padding),
        lambda x, w, s: slow_modulated_conv(x, w, s, demodulate, up, padding),
        *inputs,
    )


def test_a_demodulated_convolution_has_unit_variance() -> None:
    """For inputs of unit variance, whatever the styles and weights. Sec. 2.2."""
    x, weight, style = torch.randn(8, 16, 32, 32), 7 * torch.randn(8, 16, 3, 3), torch.randn(8, 16) * 5 + 2
    y = modulated_conv(x, weight, style)[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(y.var((2, 3)), torch.ones(8, 8), rtol=0.25, atol=0)
    assert float(y.var()) == pytest.approx(1, rel=0.03)


def test_demodulation_ignores_the_size_of_a_style() -> None:
    x, weight, style = torch.randn(2, 4, 6, 6), torch.randn(3, 4, 3, 3), torch.randn(2, 4)
    torch.testing.assert_close(modulated_conv(x, weight, style), modulated_conv(x, weight, 100 * style))


def test_norms_are_in_float32_under_autocast() -> None:
    weight, style = torch.randn(3, 4, 3, 3), torch.randn(2, 4)
    expected = demodulation(weight, style)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(demodulation(weight, style), expected)
        y = modulated_conv(torch.randn(2, 4, 6, 6), weight, style)
    assert y.dtype == torch.bfloat16


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_starts_at_nothing_and_is_the_same_in_all_channels(channels: int) -> None:
    layer, x, noise = NoiseInput(channels), torch.randn(2, 3, 4, 4), torch.randn(2, 1, 4, 4)
    assert torch.equal(layer(x), x)
    strength = torch.arange(1.0, channels + 1).view(-1, 1, 1)
    layer.strength.data.copy_(strength)
    torch.testing.assert_close(layer(x, noise) - x, (strength * noise).expand_as(x))


def test_noise_differs_by_pixel_and_image() -> None:
    layer = NoiseInput()
    layer.strength.data.fill_(1.0)
    drawn = layer(torch.zeros(2, 3, 8, 8))
    assert len(drawn[:, 0].unique()) == 2 * 64 and torch.equal(drawn[:, 0], drawn[:, 2])
