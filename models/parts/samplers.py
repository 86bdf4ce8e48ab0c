"""Samplers of diffusion models: free functions with one signature.

    sampler(denoise, x, levels, noise) -> x

denoise(x, level) is the network's x_0. `levels` fall from noise to data (processes.py); every step goes from
one level to the next. noise() returns standard normal noise with the shape of x. With

    eps = (x - alpha x_0) / sigma

samplers do not depend on the target of training. Coefficients are float64.
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
    """Iterate over pairs of a level t and the next level s."""
    return itertools.pairwise(levels[i] for i in range(len(levels)))


def eps_of(x: Tensor, x_0: Tensor, level: Level) -> Tensor:
    """Return eps = (x - alpha x_0) / sigma."""
    return (x - level.alpha * x_0) / level.sigma


def ancestral(denoise: Denoise, x: Tensor, levels: Level, noise: Callable[[], Tensor]) -> Tensor:
    """x_s ~ q(x_s | x_t, x_0). Ho et al. 2020, Eq. 6, 7; for arbitrary levels Kingma et al. 2021, A.2."""
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
    """Euler steps of the ODE. For alpha + sigma = 1 a step is x + (s - t) v, Liu et al. 2023, Sec. 2.1."""
    for t, s in steps(levels):
        x = _step(x, t, s, _slope(x, denoise(x, t), t))
    return x


def heun(denoise: Denoise, x: Tensor, levels: Level, noise: Callable[[], Tensor]) -> Tensor:
    """Heun steps, with the mean slope of both ends; the last is Euler's. Karras et al. 2022, Alg. 1.

    If alpha = 1, the coordinates are the paper's, x and sigma. Otherwise they are those of the flow,
    x / (alpha + sigma) and sigma / (alpha + sigma), since x / alpha and sigma / alpha diverge near pure
    noise, where a mean of two slopes would be inaccurate.
    """
    flow = bool((levels.alpha < 1).any())
    for t, s in steps(levels):
        slope = _slope(x, denoise(x, t), t, flow)
        x_s = _step(x, t, s, slope, flow)
        if s.sigma > 0:
            slope = (slope + _slope(x_s, denoise(x_s, s), s, flow)) / 2
            x_s = _step(x, t, s, slope, flow)
        x = x_s
    return x


def dpmpp_2m(denoise: Denoise, x: Tensor, levels: Level, noise: Callable[[], Tensor]) -> Tensor:
    """DPM-Solver++(2M), of second order by the previous x_0. Lu et al. 2022, Alg. 2.

    The first and last steps are of first order; h is the step of log(alpha / sigma).
    """
    previous: tuple[Tensor, Tensor] | None = None
    for t, s in steps(levels):
        x_0 = denoise(x, t)
        decay = (t.alpha * s.sigma) / (t.sigma * s.alpha)  # exp(-h), 0 if t is pure noise or s is data
        h = -decay.log()
        extrapolated = x_0
        if previous is not None and s.sigma > 0:
            extrapolated = x_0 + (x_0 - previous[0]) * h / (2 * previous[1])
        x = s.sigma / t.sigma * x + s.alpha * (1 - decay) * extrapolated
        previous = x_0, h
    return x


def _scale(level: Level, flow: bool) -> Tensor:
    return level.alpha + level.sigma if flow else level.alpha


def _slope(x: Tensor, x_0: Tensor, level: Level, flow: bool = True) -> Tensor:
    """du/dr of u = x / scale and r = sigma / scale: eps - x_0 in the flow's coordinates, eps in EDM's."""
    eps = eps_of(x, x_0, level)
    return eps - x_0 if flow else eps


def _step(x: Tensor, t: Level, s: Level, slope: Tensor, flow: bool = True) -> Tensor:
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
    """Classifier-free guidance of x_0. Ho & Salimans 2022, Eq. 6, scale = 1 + w.

    `both` (2 N, C, H, W) is the conditional x_0 followed by the unconditional one.
    """
    conditional, unconditional = both.unflatten(0, (2, -1))
    return unconditional + scale * (conditional - unconditional)
