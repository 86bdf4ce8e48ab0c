"""Forward processes x_t = alpha x_0 + sigma eps, the targets of the network, and the weights of errors.

All functions are algebra on alpha and sigma, so that processes, targets and weightings combine freely. Levels
are computed in float64.

    process   Ho et al. 2020 (linear), Nichol & Dhariwal 2021 (cosine), Jabri et al. 2022 (sigmoid),
              Karras et al. 2022 (edm), Liu et al. 2023 (flow)
    shift     Hoogeboom et al. 2023 and Esser et al. 2024: sigma / alpha times a constant
    zero SNR  Lin et al. 2024
    target    eps, x_0, v (Salimans & Ho 2022), velocity (Liu et al. 2023), EDM's preconditioning
    weighting plain, min-SNR (Hang et al. 2023), P2 (Choi et al. 2022), EDM
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar

import torch
from torch import Tensor

STEPS = 1000  # T of the schedules with steps
P = ParamSpec("P")

T = TypeVar("T")

RHO, SIGMA_MIN, SIGMA_MAX = 7.0, 0.002, 80.0  # Karras et al. 2022, Table 1


@dataclass(frozen=True)
class Level:
    """Noise levels, x = alpha x_0 + sigma eps: float64 tensors of one shape, indexed together."""

    time: Tensor  # the network's input for the level
    alpha: Tensor
    sigma: Tensor

    def __len__(self) -> int:
        return len(self.time)

    def __getitem__(self, index: int | slice | Tensor) -> Level:
        return Level(self.time[index], self.alpha[index], self.sigma[index])

    def to(self, like: Tensor) -> Level:
        """Expand one level to each image of `like`, (N, 1, 1, 1), with its dtype and device."""
        parts = (self.time, self.alpha, self.sigma)
        return Level(*(p.to(like).expand(like.shape[0])[:, None, None, None] for p in parts))


# Processes. Time t is in [0, 1]: 0 is (almost) data, 1 is noise.


class Process(Protocol):
    """A forward process: alpha and sigma as functions of time."""

    def at(self, t: Tensor) -> Level:
        """The levels at times t in [0, 1]."""

    def at_ratio(self, ratio: Tensor) -> Level:
        """The levels, or the nearest ones, at which sigma / alpha is `ratio`."""

    def times(self, steps: int, spacing: str) -> Tensor:
        """`steps` falling times for sampling, (steps,), without the data itself."""


@dataclass(frozen=True)
class Flow:
    """Straight lines, alpha = 1 - t, sigma = t. Liu et al. 2023, Eq. 1; shift: Esser et al. 2024, Eq. 23."""

    shift: float = 1.0

    def at(self, t: Tensor) -> Level:
        """The levels at times t in [0, 1]."""
        t = t.double()
        return self._level(self.shift * t / (1 + (self.shift - 1) * t))

    def at_ratio(self, ratio: Tensor) -> Level:
        """The levels at which sigma / alpha is `ratio`."""
        ratio = ratio.double()
        return self._level(ratio / (1 + ratio))

    def times(self, steps: int, spacing: str = "auto") -> Tensor:
        """`steps` falling times from 1 in equal steps."""
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)[:-1]

    def _level(self, t: Tensor) -> Level:
        return Level(t, 1 - t, t)


@dataclass(frozen=True)
class Schedule:
    """T steps of a variance-preserving process: alpha^2 = alpha_bar, sigma^2 = 1 - alpha_bar.

    alpha_bar (T + 1,) starts with 1, the data. Time t is step ceil(t T), at least the first.
    """

    alpha_bar: Tensor

    @property
    def steps(self) -> int:
        """T."""
        return len(self.alpha_bar) - 1

    def at(self, t: Tensor) -> Level:
        """The levels of steps ceil(t T)."""
        # n / T * T may be slightly above n, in float32 by 1e-4.
        return self._level((t.double() * self.steps - 1e-3).ceil().long().clamp(1, self.steps))

    def at_ratio(self, ratio: Tensor) -> Level:
        """The levels of the first steps that are at least as noisy."""
        ratios = ((1 - self.alpha_bar) / self.alpha_bar).sqrt().to(ratio.device)
        return self._level(torch.searchsorted(ratios, ratio.double()).clamp(1, self.steps))

    def times(self, steps: int, spacing: str = "auto") -> Tensor:
        """`steps` falling times of the schedule, with the spacings of Lin et al. 2024, Table 2.

        Raises:
            ValueError: The schedule has fewer steps.
        """
        last = self.steps
        if steps > last:
            raise ValueError(f"sampler_steps={steps} is more than the {last} steps of the schedule")
        i = torch.arange(steps, dtype=torch.float64)
        step = {
            "linspace": torch.linspace(last, 1, steps, dtype=torch.float64),
            "leading": (steps - 1 - i) * (last // steps) + 1,  # without T
            "trailing": last - i * last / steps,
        }["trailing" if spacing == "auto" else spacing].round()
        return step / last

    def _level(self, step: Tensor) -> Level:
        alpha_bar = self.alpha_bar.to(step.device)[step]
        return Level(step.double() / self.steps, alpha_bar.sqrt(), (1 - alpha_bar).sqrt())


@dataclass(frozen=True)
class EDM:
    """Variance-exploding, alpha = 1; the seventh root of sigma is linear in t. Karras et al. 2022, Eq. 5."""

    def at(self, t: Tensor) -> Level:
        """The levels at times t in [0, 1]; equal steps in t are the paper's steps."""
        low, high = SIGMA_MIN ** (1 / RHO), SIGMA_MAX ** (1 / RHO)
        return self.at_ratio((low + t.double() * (high - low)) ** RHO)

    def at_ratio(self, ratio: Tensor) -> Level:
        """The levels of sigmas `ratio`; the network's input is c_noise = ln(sigma) / 4, Table 1."""
        sigma = ratio.double()
        return Level(sigma.log() / 4, torch.ones_like(sigma), sigma)

    def times(self, steps: int, spacing: str = "auto") -> Tensor:
        """`steps` falling times from 1 to 0, both included."""
        return torch.linspace(1, 0, steps, dtype=torch.float64)


def linear() -> Tensor:
    """alpha_bar (T + 1,) of linear beta from 1e-4 to 0.02. Ho et al. 2020, Sec. 4."""
    return accumulated(torch.linspace(1e-4, 0.02, STEPS, dtype=torch.float64))


def cosine(offset: float = 0.008) -> Tensor:
    """alpha_bar (T + 1,) of a squared cosine. Nichol & Dhariwal 2021, Eq. 17."""
    angle = (torch.linspace(0, 1, STEPS + 1, dtype=torch.float64) + offset) / (1 + offset) * math.pi / 2
    return accumulated(betas(angle.cos().square()))


def sigmoid(start: float = -3.0, end: float = 3.0) -> Tensor:
    """alpha_bar (T + 1,) of a sigmoid, scaled to [0, 1]. Jabri et al. 2022, App. B, at temperature 1."""
    values = torch.linspace(start, end, STEPS + 1, dtype=torch.float64).sigmoid()
    return accumulated(betas(values[-1] - values))


def betas(alpha_bar: Tensor) -> Tensor:
    """1 - alpha_bar_t / alpha_bar_(t-1), (T,), at most .999. Nichol & Dhariwal 2021, Sec. 3.2."""
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=0.999)


def accumulated(beta: Tensor) -> Tensor:
    """alpha_bar (T + 1,), the cumulative products of 1 - beta, starting with 1."""
    return torch.cat([torch.ones(1, dtype=beta.dtype), (1 - beta).cumprod(0)])


def shifted(alpha_bar: Tensor, shift: float) -> Tensor:
    """Multiply sigma / alpha of a schedule by `shift`. Hoogeboom et al. 2023, Eq. 4."""
    return alpha_bar / (alpha_bar + shift**2 * (1 - alpha_bar))


def zero_terminal_snr(alpha_bar: Tensor) -> Tensor:
    """Rescale a schedule to end in pure noise, with the same first step. Lin et al. 2024, Alg. 1."""
    alpha = alpha_bar[1:].sqrt()
    alpha = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
    return torch.cat([alpha_bar[:1], alpha.square()])


SCHEDULES: dict[str, Callable[[], Tensor]] = {"linear": linear, "cosine": cosine, "sigmoid": sigmoid}


def on_cpu(function: Callable[P, T]) -> Callable[P, T]:
    """Let a function compute values on the CPU even while networks are built without any, on "meta"."""

    @wraps(function)
    def computed(*args: P.args, **kwargs: P.kwargs) -> T:
        with torch.device("cpu"):
            return function(*args, **kwargs)

    return computed


@on_cpu
def process(name: str, shift: float = 1.0, zero_snr: bool = False) -> Process:
    """Return the process called `name`: flow, edm, or one of SCHEDULES."""
    if name == "flow":
        return Flow(shift)
    if name == "edm":
        return EDM()
    alpha_bar = shifted(SCHEDULES[name](), shift)
    return Schedule(zero_terminal_snr(alpha_bar) if zero_snr else alpha_bar)


@on_cpu
def levels(process: Process, steps: int, spacing: str = "auto", strength: float = 1.0) -> Level:
    """Return the (steps + 1,) levels of sampling, from noise to data, at which alpha = 1 and sigma = 0.

    With a `strength` below 1 they start at that time, with that share of the steps.
    """
    times = process.times(max(1, round(strength * steps)), spacing)
    noisy = process.at(times if strength == 1 else strength * times / times[0])
    distinct = torch.cat(
        [torch.ones(1, dtype=torch.bool), noisy.time.diff() != 0]
    )  # rounding may repeat a step
    noisy, zero = noisy[distinct], torch.zeros(1, dtype=torch.float64)
    return Level(
        torch.cat([noisy.time, zero]), torch.cat([noisy.alpha, zero + 1]), torch.cat([noisy.sigma, zero])
    )


# Times of training


def stratified(n: int, device: torch.device) -> Tensor:
    """Return n rising uniform numbers, one in each n-th of [0, 1). Kingma et al. 2021, App. I.1."""
    return (torch.arange(n, device=device) + torch.rand(n, device=device)) / n


def normal_quantile(u: Tensor, mean: float, std: float) -> Tensor:
    """The u-quantile of N(mean, std^2)."""
    return mean + std * math.sqrt(2) * torch.erfinv((2 * u.double() - 1).clamp(-1 + 1e-7, 1 - 1e-7))


def drawn(process: Process, times: str, u: Tensor, mean: float, std: float) -> Level:
    """Transform uniform numbers u to levels for training.

    `times` is uniform; logit_normal, of t (Esser et al. 2024, Eq. 19); or log_normal, of sigma / alpha
    (Karras et al. 2022, Table 1), which is the same for an unshifted flow. A shift does not change it.
    """
    if times == "uniform":
        return process.at(u.double().clamp(min=1e-6))  # SNRs are infinite without noise
    normal = normal_quantile(u, mean, std)
    return process.at_ratio(normal.exp()) if times == "log_normal" else process.at(normal.sigmoid())


# Targets: F = a x_0 + b eps


def target(name: str, level: Level, sigma_data: float = 0.5) -> tuple[Tensor, Tensor]:
    """Return a and b of the network's target F = a x_0 + b eps.

    `edm` is the paper's F(c_in x), with x_0 = c_skip x + c_out F(c_in x): Karras et al. 2022, Eq. 7, 8.
    """
    alpha, sigma = level.alpha, level.sigma
    one, zero = torch.ones_like(alpha), torch.zeros_like(alpha)
    if name == "edm":
        total = (sigma.square() + sigma_data**2).sqrt()
        return sigma / (sigma_data * total), -sigma_data / total
    return {"eps": (zero, one), "x_0": (one, zero), "v": (-sigma, alpha), "velocity": (-one, one)}[name]


def denoised(x: Tensor, f: Tensor, level: Level, a: Tensor, b: Tensor) -> Tensor:
    """x_0 = (b x - sigma F) / (alpha b - sigma a), from the equations of x and F for x_0 and eps."""
    return (b * x - level.sigma * f) / (level.alpha * b - level.sigma * a)


def weight(name: str, level: Level, a: Tensor, b: Tensor, sigma_data: float = 0.5) -> Tensor:
    """The weight of |F - a x_0 - b eps|^2.

    A squared error of F is ((alpha b - sigma a) / sigma)^2 times that of x_0. Weights of the latter:

        min_snr   min(SNR, 5)                 Hang et al. 2023, Eq. 8
        p2        SNR / (1 + SNR)             Choi et al. 2022, Eq. 8, with k = gamma = 1
        edm       SNR + 1 / sigma_data^2      Karras et al. 2022, Table 1

    Near pure noise the SNR is close to 0, and so are the first two weights for all targets except eps.
    """
    if name == "plain":
        return torch.ones_like(level.alpha)
    snr = (level.alpha / level.sigma).square()
    of_x_0 = {"min_snr": snr.clamp(max=5), "p2": snr / (1 + snr), "edm": snr + sigma_data**-2}[name]
    return of_x_0 * (level.sigma / (level.alpha * b - level.sigma * a)).square()
