"""From noise to data in steps: samplers as free functions with one signature.

    sampler(denoise, x, levels, noise) -> x

denoise(x, level) is the network's x_0; `levels` fall from noise to data (processes.py), and every step
goes from one of the list to the next, whatever list that is; noise() is standard normal noise like x. With

    eps = (x - alpha x_0) / sigma

all samplers see one denoiser, whatever it was trained to predict. Coefficients are float64.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from torch import Tensor

from models.parts.processes import Level

Denoise = Callable[[Tensor, Level], Tensor]
"""(x, level) -> x_0, with x (N, C, H, W) and one level for all."""

Sampler = Callable[[Denoise, Tensor, Level, Callable[[], Tensor]], Tensor]


def steps(levels: Level) -> Iterator[tuple[Level, Level]]:
    """Each level with the next one."""
    return itertools.pairwise(levels[i] for i in range(len(levels)))


def eps_of(x: Tensor, x_0: Tensor, level: Level) -> Tensor:
    """The noise in x if x_0 is the data in it."""
    return (x - level.alpha * x_0) / level.sigma


def ancestral(denoise: Denoise, x: Tensor, levels: Level, noise: Callable[[], Tensor]) -> Tensor:
    """x_s ~ q(x_s | x_t, x_0). Ho et al. 2020, Eq. 6, 7; between any two levels, Kingma et al. 2021, A.2."""
    for t, s in steps(levels):
        x_0 = denoise(x, t)
        alpha = t.alpha / s.alpha  # of q(x_t | x_s)
        variance = t.sigma**2 - alpha**2 * s.sigma**2
        x = (alpha * s.sigma**2 * x + s.alpha * variance * x_0) / t.sigma**2
        if s.sigma > 0:
            x = x + variance.sqrt() * s.sigma / t.sigma * noise()
    return x


def ddim(
    denoise: Denoise, x: Tensor, levels: Level, noise: Callable[[], Tensor], *, eta: float = 0.0
) -> Tensor:
    """x_s = alpha_s x_0 + sqrt(sigma_s^2 - tau^2) eps + tau z. Song et al. 2021, Eq. 12 and 16.

    eta 0 follows the ODE; eta 1 is ancestral sampling.
    """
    for t, s in steps(levels):
        x_0 = denoise(x, t)
        tau = eta * (s.sigma / t.sigma) * (t.sigma**2 - (t.alpha / s.alpha * s.sigma) ** 2).sqrt()
        x = s.alpha * x_0 + (s.sigma**2 - tau**2).clamp(min=0).sqrt() * eps_of(x, x_0, t)
        if tau > 0:
            x = x + tau * noise()
    return x


def euler(denoise: Denoise, x: Tensor, levels: Level, noise: Callable[[], Tensor]) -> Tensor:
    """Steps along the slope of the ODE. Where alpha + sigma = 1, x + (s - t) v, Liu et al. 2023, Sec. 2.1."""
    for t, s in steps(levels):
        x = _moved(x, t, s, _slope(x, denoise(x, t), t))
    return x


def heun(denoise: Denoise, x: Tensor, levels: Level, noise: Callable[[], Tensor]) -> Tensor:
    """Steps along the mean of the slopes at both ends, the last one Euler's. Karras et al. 2022, Alg. 1.

    In the paper's coordinates where it has only these, alpha = 1; else in those of the flow,
    x / (alpha + sigma) and sigma / (alpha + sigma), since x / alpha and sigma / alpha are near infinity where
    hardly any data is left, and the mean of two slopes says nothing over so long a step.
    """
    flow = bool((levels.alpha < 1).any())
    for t, s in steps(levels):
        slope = _slope(x, denoise(x, t), t, flow)
        ahead = _moved(x, t, s, slope, flow)
        if s.sigma > 0:
            slope = (slope + _slope(ahead, denoise(ahead, s), s, flow)) / 2
            ahead = _moved(x, t, s, slope, flow)
        x = ahead
    return x


def dpmpp_2m(denoise: Denoise, x: Tensor, levels: Level, noise: Callable[[], Tensor]) -> Tensor:
    """DPM-Solver++(2M): second order from the last x_0. Lu et al. 2022, Alg. 2.

    The first step and the last are of first order; h is the step of log(alpha / sigma).
    """
    last: tuple[Tensor, Tensor] | None = None
    for t, s in steps(levels):
        x_0 = denoise(x, t)
        decay = (t.alpha * s.sigma) / (t.sigma * s.alpha)  # exp(-h), 0 from noise alone and to the data
        h = -decay.log()
        extrapolated = x_0
        if last is not None and s.sigma > 0:
            extrapolated = x_0 + (x_0 - last[0]) * h / (2 * last[1])
        x = s.sigma / t.sigma * x + s.alpha * (1 - decay) * extrapolated
        last = x_0, h
    return x


def _scale(level: Level, flow: bool) -> Tensor:
    return level.alpha + level.sigma if flow else level.alpha


def _slope(x: Tensor, x_0: Tensor, level: Level, flow: bool = True) -> Tensor:
    """Of u = x / scale by r = sigma / scale: eps - x_0 in the flow's coordinates, eps in EDM's."""
    eps = eps_of(x, x_0, level)
    return eps - x_0 if flow else eps


def _moved(x: Tensor, t: Level, s: Level, slope: Tensor, flow: bool = True) -> Tensor:
    before, after = _scale(t, flow), _scale(s, flow)
    return after * (x / before + (s.sigma / after - t.sigma / before) * slope)


SAMPLERS: dict[str, Sampler] = {
    "ancestral": ancestral,
    "ddim": ddim,
    "heun": heun,
    "dpmpp_2m": dpmpp_2m,
    "euler": euler,
}


def guided(both: Tensor, scale: float) -> Tensor:
    """x_0 without the condition + scale times what it adds. Ho & Salimans 2022, Eq. 6, scale = 1 + w.

    `both` is x_0 with it and, after it, x_0 without, (2 N, C, H, W).
    """
    conditional, unconditional = both.chunk(2)
    return unconditional + scale * (conditional - unconditional)
