"""Low-pass filters by rule, the bands of StyleGAN3's layers, and the filtered leaky ReLU.

Karras et al. 2021, Alias-Free Generative Adversarial Networks, Sec. 3 and App. C,
https://arxiv.org/abs/2106.12423. Frequencies and rates are in cycles and samples per image side, the side of
the image without its margin being 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from models.parts.equalised import GAIN, SLOPE
from models.parts.upfirdn import upfirdn


def kaiser_beta(taps: int, width: float, rate: float) -> float:
    """Return the Kaiser window's parameter for a transition band of this width. App. C, after Kaiser 1974.

    Args:
        taps: Length of the filter.
        width: Of the transition band, twice the half-width f_h.
        rate: Samples per unit.
    """
    attenuation = 2.285 * (taps - 1) * math.pi * width / (rate / 2) + 7.95  # in dB
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    excess = max(attenuation - 21, 0.0)
    return 0.5842 * excess**0.4 + 0.07886 * excess


def _window(taps: int, width: float, rate: float) -> tuple[Tensor, Tensor]:
    """Return the places of a filter's taps around its centre, and the Kaiser window there, in float64."""
    places = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / rate
    beta = kaiser_beta(taps, width, rate)
    return places, torch.kaiser_window(taps, periodic=False, beta=beta, dtype=torch.float64)


def low_pass(taps: int, cutoff: float, half_width: float, rate: float) -> Tensor:
    """Return sinc(2 f_c x) under a Kaiser window, (taps,), of sum 1. App. C.

    Args:
        taps: Length of the filter.
        cutoff: f_c, the middle of the transition band.
        half_width: f_h, half of its width.
        rate: Samples per unit.
    """
    places, window = _window(taps, 2 * half_width, rate)
    f = torch.sinc(2 * cutoff * places) * window
    return (f / f.sum()).float()


def radial_low_pass(taps: int, cutoff: float, half_width: float, rate: float) -> Tensor:
    """Return jinc(2 f_c |x|) under a Kaiser window of both axes, (taps, taps), of sum 1. App. C.

    Its pass band is a disc, so it treats all directions alike. Arguments as of `low_pass`.
    """
    places, window = _window(taps, 2 * half_width, rate)
    f = jinc(2 * cutoff * torch.hypot(places[:, None], places)) * torch.outer(window, window)
    return (f / f.sum()).float()


def jinc(x: Tensor) -> Tensor:
    """2 J_1(pi x) / (pi x), which is 1 at 0: the impulse response of a disc of frequencies."""
    at = math.pi * x
    ratio = 2 * torch.special.bessel_j1(at) / torch.where(at == 0, 1.0, at)
    return torch.where(at == 0, 1.0, ratio)


@dataclass(frozen=True)
class Band:
    """The signal that a layer puts out: what it contains, and how it is sampled."""

    cutoff: float  # f_c
    stopband: float  # f_t, from which on it contains nothing
    rate: int  # s, samples per unit
    size: int  # samples of a side, with the margin
    radial: bool  # whether filters that lead here may be radial; critically sampled ones are separable

    @property
    def half_width(self) -> float:
        """Half of the transition band, to the stopband or, where the rate allows, beyond. Eq. 36."""
        return max(self.stopband, self.rate / 2) - self.cutoff


def bands(
    resolution: int,
    layers: int,
    *,
    critical: int = 2,
    first_cutoff: float = 2.0,
    first_stopband: float = 2**2.1,
    last_stopband: float = 2**0.3,
    margin: int = 10,
) -> list[Band]:
    """Return the bands of all layers, that of the colours last. Sec. 3.2, Fig. 4 (c) and App. F.1.

    Cutoff and stopband grow geometrically until `critical` layers before the end, from where on they keep
    their last values; the rate is the next power of two above twice the stopband. Eq. 35 and 36.

    Args:
        resolution: Pixels a side of the image; a power of two.
        layers: N, convolutions before the colours.
        critical: Layers at the end that are critically sampled: with f_c = s / 2.
        first_cutoff: f_c of the input.
        first_stopband: f_t of the input.
        last_stopband: f_t at the end, as a factor on f_c.
        margin: Samples beyond the image on each side, so that its border is not seen.
    """
    last = resolution / 2
    result = []
    for i in range(layers + 1):
        t = min(i / (layers - critical), 1.0)
        cutoff = first_cutoff * (last / first_cutoff) ** t
        stopband = first_stopband * (last * last_stopband / first_stopband) ** t
        rate = 2 ** math.ceil(math.log2(min(2 * stopband, resolution)))
        size = resolution if i >= layers - 1 else rate + 2 * margin
        result.append(Band(cutoff, stopband, rate, size, radial=i < layers - critical))
    return result


class Resampling(NamedTuple):
    """Factors and padding that lead from one size and rate to another, over a higher rate between."""

    up: int
    down: int
    padding: tuple[int, int]  # of the enlarged image, before both filters


def resampling(before: int, after: int, up: int, down: int, taps_up: int, taps_down: int) -> Resampling:
    """Return the padding with which both images have the same centre.

    Args:
        before: Samples of a side of the input.
        after: Samples of a side of the output.
        up: Factor to the rate between.
        down: Factor from there.
        taps_up: Length of the filter that enlarges.
        taps_down: Length of the filter that shrinks.
    """
    total = (after - 1) * down + taps_up + taps_down - 1 - before * up
    twice_first = (after - 1) * down - (before - 1) * up + taps_up + taps_down - 2
    assert twice_first % 2 == 0, "the centres are half a sample apart"
    return Resampling(up, down, (twice_first // 2, total - twice_first // 2))


def filtered_leaky_relu(
    x: Tensor,
    f_up: Tensor,
    f_down: Tensor,
    plan: Resampling,
    *,
    slope: float = SLOPE,
    gain: float = GAIN,
    clamp: float | None = None,
) -> Tensor:
    """Enlarge, apply the leaky ReLU, and shrink. Sec. 3.2, Fig. 4 (b).

    The non-linearity makes frequencies that the input's rate cannot represent. At the higher rate they do not
    fold back, and the filter that shrinks removes them.

    Args:
        x: (N, C, H, W).
        f_up: Filter of the higher rate, (K,) or (K, K).
        f_down: The same for shrinking.
        plan: Factors and padding.
        slope: Of the leaky ReLU, below 0.
        gain: Factor on the result of the leaky ReLU.
        clamp: Largest magnitude of this result; the authors' float16 needs 256. None: any.

    Returns:
        (N, C, H', W').
    """
    # The gain is on the input, where it has the same effect.
    y = upfirdn(x, f_up, up=plan.up, padding=plan.padding, gain=gain * plan.up**2)
    y = leaky_relu(y, slope)
    if clamp is not None:
        y = y.clamp(-clamp, clamp)
    return upfirdn(y, f_down, down=plan.down)
