"""Forward processes x_t = alpha x_0 + sigma eps, what a network is to predict, and how errors are weighed.

All of it is algebra on alpha and sigma, so every process goes with every target and weighting that makes
sense for it; levels are computed in float64.

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
from typing import Protocol

import torch
from torch import Tensor

STEPS = 1000  # T of the schedules with steps
RHO, SIGMA_MIN, SIGMA_MAX = 7.0, 0.002, 80.0  # Karras et al. 2022, Table 1


@dataclass(frozen=True)
class Level:
    """How noisy: x = alpha x_0 + sigma eps. Float64 tensors of one shape; indexing gives some of them."""

    time: Tensor  # as networks are told it
    alpha: Tensor
    sigma: Tensor

    def __len__(self) -> int:
        return len(self.time)

    def __getitem__(self, index: int | slice | Tensor) -> Level:
        return Level(self.time[index], self.alpha[index], self.sigma[index])

    def to(self, like: Tensor) -> Level:
        """The level of each image of `like`, (N, 1, 1, 1) in its type and on its device."""
        parts = (self.time, self.alpha, self.sigma)
        return Level(*(p.to(like).expand(len(like))[:, None, None, None] for p in parts))


# Processes. Time t is in [0, 1]: 0 is (almost) data, 1 is noise.


class Process(Protocol):
    """alpha and sigma by time."""

    def at(self, t: Tensor) -> Level:
        """The levels at times t in [0, 1]."""

    def at_ratio(self, ratio: Tensor) -> Level:
        """The levels, or the nearest there are, where sigma / alpha is `ratio`."""

    def times(self, steps: int, spacing: str) -> Tensor:
        """`steps` times to sample at, falling, (steps,); the data itself is not among them."""


@dataclass(frozen=True)
class Flow:
    """Straight lines, alpha = 1 - t, sigma = t. Liu et al. 2023, Eq. 1; shift: Esser et al. 2024, Eq. 23."""

    shift: float = 1.0

    def at(self, t: Tensor) -> Level:
        """The levels at times t in [0, 1]."""
        t = t.double()
        return self._level(self.shift * t / (1 + (self.shift - 1) * t))

    def at_ratio(self, ratio: Tensor) -> Level:
        """The levels where sigma / alpha is `ratio`."""
        ratio = ratio.double()
        return self._level(ratio / (1 + ratio))

    def times(self, steps: int, spacing: str = "auto") -> Tensor:
        """From 1 in equal steps."""
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)[:-1]

    def _level(self, t: Tensor) -> Level:
        return Level(t, 1 - t, t)


@dataclass(frozen=True)
class Schedule:
    """T steps of a variance-preserving process: alpha^2 = alpha_bar, sigma^2 = 1 - alpha_bar.

    alpha_bar (T + 1,) begins with 1, the data; a time t stands for step ceil(t T), at least the first.
    """

    alpha_bar: Tensor

    @property
    def steps(self) -> int:
        """T."""
        return len(self.alpha_bar) - 1

    def at(self, t: Tensor) -> Level:
        """The levels of steps ceil(t T)."""
        # n / T * T may come out just above n, in float32 by 1e-4.
        return self._level((t.double() * self.steps - 1e-3).ceil().long().clamp(1, self.steps))

    def at_ratio(self, ratio: Tensor) -> Level:
        """The levels of the first steps that are at least as noisy."""
        ratios = ((1 - self.alpha_bar) / self.alpha_bar).sqrt().to(ratio.device)
        return self._level(torch.searchsorted(ratios, ratio.double()).clamp(1, self.steps))

    def times(self, steps: int, spacing: str = "auto") -> Tensor:
        """Some of the T steps, as Lin et al. 2024, Table 2, name them.

        Raises:
            ValueError: There are fewer than that.
        """
        last = self.steps
        if steps > last:
            raise ValueError(f"sampler_steps={steps} are more than the {last} steps of the schedule")
        i = torch.arange(steps, dtype=torch.float64)
        step = {
            "linspace": torch.linspace(last, 1, steps, dtype=torch.float64),
            "leading": (steps - 1 - i) * (last // steps) + 1,  # never visits T
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
        """The levels of these sigmas; networks are told c_noise = ln(sigma) / 4, Table 1."""
        sigma = ratio.double()
        return Level(sigma.log() / 4, torch.ones_like(sigma), sigma)

    def times(self, steps: int, spacing: str = "auto") -> Tensor:
        """From 1 to 0, both included."""
        return torch.linspace(1, 0, steps, dtype=torch.float64)


def linear() -> Tensor:
    """alpha_bar (T + 1,) of beta from 1e-4 to 0.02 in equal steps. Ho et al. 2020, Sec. 4."""
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
    """alpha_bar (T + 1,), the products of 1 - beta, after the data's 1."""
    return torch.cat([torch.ones(1, dtype=beta.dtype), (1 - beta).cumprod(0)])


def shifted(alpha_bar: Tensor, shift: float) -> Tensor:
    """The schedule whose sigma / alpha is `shift` times as large. Hoogeboom et al. 2023, Eq. 4."""
    return alpha_bar / (alpha_bar + shift**2 * (1 - alpha_bar))


def zero_terminal_snr(alpha_bar: Tensor) -> Tensor:
    """The schedule stretched to end in noise alone, its first step kept. Lin et al. 2024, Alg. 1."""
    alpha = alpha_bar[1:].sqrt()
    alpha = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
    return torch.cat([alpha_bar[:1], alpha.square()])


SCHEDULES: dict[str, Callable[[], Tensor]] = {"linear": linear, "cosine": cosine, "sigmoid": sigmoid}


def process(name: str, shift: float = 1.0, zero_snr: bool = False) -> Process:
    """A process by name: flow, edm, or one of SCHEDULES."""
    if name == "flow":
        return Flow(shift)
    if name == "edm":
        return EDM()
    alpha_bar = shifted(SCHEDULES[name](), shift)
    return Schedule(zero_terminal_snr(alpha_bar) if zero_snr else alpha_bar)


def levels(process: Process, steps: int, spacing: str = "auto", strength: float = 1.0) -> Level:
    """The (steps + 1,) levels a sampler goes through, from noise to data, where alpha = 1 and sigma = 0.

    At a `strength` below 1 they begin at so much of the times, in so many of the steps.
    """
    times = process.times(max(1, round(strength * steps)), spacing)
    some = process.at(times if strength == 1 else strength * times / times[0])
    some = some[torch.cat([torch.ones(1, dtype=torch.bool), some.time.diff() != 0])]  # steps may be one
    zero = torch.zeros(1, dtype=torch.float64)
    return Level(
        *(torch.cat(pair) for pair in ((some.time, zero), (some.alpha, zero + 1), (some.sigma, zero)))
    )


# Times to train at


def stratified(n: int, device: torch.device) -> Tensor:
    """Uniform numbers in [0, 1), (n,), one in each n-th of it, rising. Kingma et al. 2021, App. I.1."""
    return (torch.arange(n, device=device) + torch.rand(n, device=device)) / n


def normal_quantile(u: Tensor, mean: float, std: float) -> Tensor:
    """The number below which a share u of N(mean, std^2) lies."""
    return mean + std * math.sqrt(2) * torch.erfinv((2 * u.double() - 1).clamp(-1 + 1e-7, 1 - 1e-7))


def drawn(process: Process, times: str, u: Tensor, mean: float, std: float) -> Level:
    """Levels to train at, from uniform u.

    uniform t; logit-normal t (Esser et al. 2024, Eq. 19); or log-normal sigma / alpha (Karras et al. 2022,
    Table 1), which for the flow is the same. The last is of ratios, whatever time they are at: a shift does
    not move it.
    """
    if times == "uniform":
        return process.at(u.double().clamp(min=1e-6))  # where nothing is noise, SNRs and weights are infinite
    normal = normal_quantile(u, mean, std)
    return process.at_ratio(normal.exp()) if times == "log_normal" else process.at(normal.sigmoid())


# Targets: F = a x_0 + b eps


def target(name: str, level: Level, sigma_data: float = 0.5) -> tuple[Tensor, Tensor]:
    """What the network is to predict, as a and b of F = a x_0 + b eps.

    `edm` is the paper's F(c_in x), of which c_skip x + c_out F(c_in x) is x_0: Karras et al. 2022, Eq. 7, 8.
    """
    alpha, sigma = level.alpha, level.sigma
    one, zero = torch.ones_like(alpha), torch.zeros_like(alpha)
    if name == "edm":
        total = (sigma.square() + sigma_data**2).sqrt()
        return sigma / (sigma_data * total), -sigma_data / total
    return {"eps": (zero, one), "x_0": (one, zero), "v": (-sigma, alpha), "velocity": (-one, one)}[name]


def denoised(x: Tensor, f: Tensor, level: Level, a: Tensor, b: Tensor) -> Tensor:
    """x_0 = (b x - sigma F) / (alpha b - sigma a): x and F are two equations for x_0 and eps."""
    return (b * x - level.sigma * f) / (level.alpha * b - level.sigma * a)


def weight(name: str, level: Level, a: Tensor, b: Tensor, sigma_data: float = 0.5) -> Tensor:
    """What |F - a x_0 - b eps|^2 is multiplied by.

    An error of F is ((alpha b - sigma a) / sigma)^2 times one of x_0. The papers' weights of the latter:

        min_snr   min(SNR, 5)                 Hang et al. 2023, Eq. 8
        p2        SNR / (1 + SNR)             Choi et al. 2022, Eq. 8, with k = gamma = 1
        edm       SNR + 1 / sigma_data^2      Karras et al. 2022, Table 1

    Where hardly any data is left, SNR is near 0, and so is what the first two make of all targets but eps.
    """
    if name == "plain":
        return torch.ones_like(level.alpha)
    snr = (level.alpha / level.sigma).square()
    wanted = {"min_snr": snr.clamp(max=5), "p2": snr / (1 + snr), "edm": snr + sigma_data**-2}[name]
    return wanted * (level.sigma / (level.alpha * b - level.sigma * a)).square()
