"""Convolutions whose weights depend on a style, and noise inputs: layers of StyleGAN2's synthesis network.

Karras et al. 2020, Analyzing and Improving the Image Quality of StyleGAN, Sec. 2.2,
https://arxiv.org/abs/1912.04958.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from models.parts.equalised import conv_up
from models.parts.layers import without_autocast


def modulated_conv(
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    *,
    demodulate: bool = True,
    up: Tensor | None = None,
    padding: int | None = None,
    gain: float = 1.0,
) -> Tensor:
    """Convolve image n with the weights w'_oik = s_ni w_oik, each output channel scaled to unit norm.

    Eq. 1 and 3. Scaling the input by s and the output by 1 / sqrt(sum of w'^2) is the same as scaling the
    weights. It needs one convolution for all images instead of a group for each, which is slow.

    Args:
        x: (N, I, H, W).
        weight: (O, I, k, k), k odd.
        style: s, (N, I).
        demodulate: Whether output channels are scaled to unit norm.
        up: Filter (K, K) with which the image is enlarged to twice the size; None: it is not.
        padding: Zeros on each side; None: as many as keep the size.
        gain: Factor on the result.

    Returns:
        (N, O, H, W), with `up` (N, O, 2 H, 2 W).
    """
    scale = style if demodulate else style * gain
    x = x * scale[:, :, None, None].to(x.dtype)
    if up is None:
        y = conv2d(x, weight, padding=weight.shape[-1] // 2 if padding is None else padding)
    else:
        y = conv_up(x, weight, up)
    return y * (demodulation(weight, style) * gain)[:, :, None, None].to(y.dtype) if demodulate else y


def demodulation(weight: Tensor, style: Tensor) -> Tensor:
    """1 / sqrt(sum over i and k of (s_ni w_oik)^2 + 1e-8), (N, O), in the type of the weights. Eq. 3."""
    with without_autocast(weight):
        squares = weight.square().sum((2, 3))  # (O, I)
        return (style.to(weight.dtype).square() @ squares.T + 1e-8).rsqrt()


class NoiseInput(nn.Module):
    """Noise of one channel, added to all channels of an image with learned strengths, which start at 0.

    Args:
        channels: Number of strengths: those of the image in StyleGAN, 1 in StyleGAN2.
    """

    def __init__(self, channels: int = 1):
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor, noise: Tensor | None = None, gain: float = 1.0) -> Tensor:
        """Add noise times strength times gain to x.

        Args:
            x: The image, (N, C, H, W).
            noise: (N, 1, H, W), standard normal; None: drawn from torch's generator.
            gain: Factor on the noise.
        """
        if noise is None:
            noise = torch.randn(len(x), 1, *x.shape[2:], device=x.device)
        return x + (noise * (gain * self.strength)).to(x.dtype)
