"""Resampling with finite impulse response (FIR) filters: pad, upsample, filter, downsample.

Karras et al. 2019 (https://arxiv.org/abs/1812.04948) filter with [1, 2, 1], Karras et al. 2020
(https://arxiv.org/abs/1912.04958) with [1, 3, 3, 1], StyleGAN3 (https://arxiv.org/abs/2106.12423) with longer
ones. A filter has one axis, and then applies to rows and columns in turn, or two. All is made of torch's
convolutions, which are fastest in channels_last and have derivatives of every order.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, pad


def fir_filter(taps: Sequence[float] = (1, 3, 3, 1)) -> Tensor:
    """Return the filter with these taps along both axes, (K, K), of sum 1; without taps, that of StyleGAN."""
    f = torch.tensor(taps, dtype=torch.float32)
    f = f / f.sum()
    return torch.outer(f, f)


def upfirdn(
    x: Tensor, f: Tensor, *, up: int = 1, down: int = 1, padding: tuple[int, int] = (0, 0), gain: float = 1.0
) -> Tensor:
    """Insert zeros, pad, convolve with a filter and subsample; each channel by itself.

    Args:
        x: (N, C, H, W).
        f: (K, K) or, for rows and columns in turn, (K,).
        up: Each pixel is followed by `up` - 1 zeros.
        down: One of `down` pixels remains, the first included.
        padding: Zeros before and after both axes, after the upsampling; negative: pixels cut off.
        gain: Factor on the result; `up` squared keeps a constant.

    Returns:
        (N, C, H', W') with H' = ceil((H up + padding - K + 1) / down).
    """
    f = f.to(x.device, x.dtype)
    if f.ndim == 1:
        x = _along(x, f[:, None], (up, 1), (down, 1), (padding, (0, 0)))
        return _along(x, gain * f[None], (1, up), (1, down), ((0, 0), padding))
    return _along(x, gain * f, (up, up), (down, down), (padding, padding))


def _along(
    x: Tensor,
    f: Tensor,
    up: tuple[int, int],
    down: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
) -> Tensor:
    """`upfirdn` with factors and padding of rows and columns; f is (K_rows, K_columns)."""
    channels = x.shape[1]
    if up == (1, 1):
        kernel = f.flip(0, 1).expand(channels, 1, *f.shape)  # conv2d correlates
        (top, bottom), (left, right) = padding
        if top == bottom >= 0 and left == right >= 0:
            return conv2d(x, kernel, stride=down, padding=(top, left), groups=channels)
        return conv2d(pad(x, [left, right, top, bottom]), kernel, stride=down, groups=channels)

    # A transposed convolution inserts the zeros without computing with them. Its result has K - 1 pixels of
    # padding on both sides, less the zeros after the last pixel.
    x = conv_transpose2d(x, f.expand(channels, 1, *f.shape), stride=up, groups=channels)
    margins: list[int] = []
    for axis in (1, 0):
        before, after = padding[axis]
        margins += [before - f.shape[axis] + 1, after - f.shape[axis] + up[axis]]
    return pad(x, margins)[:, :, :: down[0], :: down[1]]


def upsample(x: Tensor, f: Tensor, factor: int = 2) -> Tensor:
    """Enlarge images (N, C, H, W) by a whole factor; a constant stays one, but for the border."""
    size = f.shape[0]
    padding = ((size + factor - 1) // 2, (size - factor) // 2)
    return upfirdn(x, f, up=factor, padding=padding, gain=factor**2)


def downsample(x: Tensor, f: Tensor, factor: int = 2) -> Tensor:
    """Shrink images (N, C, H, W) by a whole factor that divides their size."""
    size = f.shape[0]
    padding = ((size - factor + 1) // 2, (size - factor) // 2)
    return upfirdn(x, f, down=factor, padding=padding)
