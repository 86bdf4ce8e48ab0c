"""Samplers against the exact denoiser of Gaussian data, for every process, spacing and number of steps.

For x_0 ~ N(MEAN, STD^2) the denoiser is linear in x, so a sampler's steps map Gaussians to Gaussians: their
mean and variance follow from the coefficients alone, by formulas written here anew from the papers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
from torch import Tensor

from models.parts import processes, samplers
from models.parts.processes import Level

pytestmark = pytest.mark.slow

MEAN, STD = 0.3, 0.5
SPACINGS = ("linspace", "leading", "trailing")
N = 50_000

Plan = tuple[str, bool, str, float]  # process, zero SNR, spacing, shift

PLANS: list[Plan] = [
    *((name, False, spacing, 1.0) for name in processes.SCHEDULES for spacing in SPACINGS),
    *((name, True, "trailing", 1.0) for name in processes.SCHEDULES),
    ("cosine", False, "trailing", 3.0),
    ("flow", False, "auto", 1.0),
    ("flow", False, "auto", 3.0),
    ("edm", False, "auto", 1.0),
]
DETERMINISTIC = ("ddim", "euler", "heun", "dpmpp_2m")


def exact(x: Tensor, level: Level) -> Tensor:
    """E[x_0 | x] for Gaussian data."""
    gain = level.alpha * STD**2 / (level.alpha**2 * STD**2 + level.sigma**2)
    return MEAN + gain * (x - level.alpha * MEAN)


def levels_of(plan: Plan, steps: int) -> Level:
    name, zero, spacing, shift = plan
    return processes.levels(processes.process(name, shift, zero), steps, spacing)


def every_plan(*steps: int) -> Iterator[tuple[str, Level]]:
    """What goes through which levels, for a failure's message, and the levels: of every plan and number."""
    for plan, count in itertools.product(PLANS, steps):
        yield f"{plan} in {count} steps", levels_of(plan, count)


def begun(level: Level) -> tuple[float, float]:
    """Mean and variance of x as samples begin, which is of noise alone, whatever data is left."""
    return 0.0, float(level.sigma**2)


def marginal(level: Level) -> tuple[float, float]:
    """Mean and variance of x at a level."""
    return float(level.alpha * MEAN), float(level.alpha**2 * STD**2 + level.sigma**2)


def no_noise() -> Tensor:
    raise AssertionError("a deterministic sampler asked for noise")


def affine(step: Callable[[Tensor], Tensor]) -> tuple[float, float]:
    """The c and d of step(x) = c x + d, from x = 0 and x = 1 in one batch."""
    at_0, at_1 = step(torch.tensor([0.0, 1.0], dtype=torch.float64).reshape(2, 1, 1, 1)).flatten().tolist()
    return at_1 - at_0, at_0


def through(sampler: samplers.Sampler, levels: Level) -> tuple[float, float]:
    """Mean and variance of a deterministic sampler's output."""
    c, d = affine(lambda x: sampler(exact, x, levels, lambda: x))
    mean, variance = begun(levels[0])
    return c * mean + d, c**2 * variance


def close(actual: Tensor, expected: Tensor, case: str) -> None:
    """Assert that two tensors are equal but for rounding."""
    torch.testing.assert_close(actual, expected, msg=lambda message: f"{case}: {message}")


# What the papers' updates give, for Gaussian data, written out.


def predicted(eta: float, levels: Level) -> tuple[float, float]:
    """DDIM's mean and variance by recursion; eta 1 is the ancestral sampler. Song et al. 2021, Eq. 12, 16."""
    alphas, sigmas = levels.alpha.tolist(), levels.sigma.tolist()
    mean, variance = begun(levels[0])
    for (a, s), (a_, s_) in itertools.pairwise(zip(alphas, sigmas, strict=True)):
        gain = a * STD**2 / (a**2 * STD**2 + s**2)
        tau = eta * s_ / s * math.sqrt(max(s**2 - (a / a_ * s_) ** 2, 0))
        direction = math.sqrt(max(s_**2 - tau**2, 0))
        # x' = a_ (MEAN + gain (x - a MEAN)) + direction (x - a x_0) / s + tau z
        by_x_0 = a_ - direction * a / s
        slope = by_x_0 * gain + direction / s
        mean = by_x_0 * (MEAN - gain * a * MEAN) + slope * mean
        variance = slope**2 * variance + tau**2
    return mean, variance


def test_ddim_is_its_formula_at_every_number_of_steps() -> None:
    for case, levels in every_plan(1, 2, 3, 7, 10, 13, 50):
        assert through(samplers.ddim, levels) == pytest.approx(predicted(0.0, levels), rel=1e-9), case


@pytest.mark.parametrize("sampler", ["ancestral", "ddim"])
def test_noisy_samplers_have_the_mean_and_variance_of_their_formula(sampler: str) -> None:
    run = samplers.ancestral if sampler == "ancestral" else partial(samplers.ddim, eta=0.7)
    for case, levels in every_plan(1, 10, 13):
        torch.manual_seed(0)
        x = levels[0].sigma * torch.randn(N, 1, 1, 1, dtype=torch.float64)
        x = run(exact, x, levels, lambda: torch.randn(N, 1, 1, 1, dtype=torch.float64))
        mean, variance = predicted(1.0 if sampler == "ancestral" else 0.7, levels)
        assert float(x.mean()) == pytest.approx(mean, abs=4 * math.sqrt(variance / N) + 1e-9), case
        assert float(x.var()) == pytest.approx(variance, rel=4 * math.sqrt(2 / N), abs=1e-9), case


def test_ancestral_sampling_is_ddim_at_eta_1() -> None:
    def noise() -> Callable[[], Tensor]:
        generator = torch.Generator().manual_seed(1)
        return lambda: torch.randn(4, 1, 2, 2, dtype=torch.float64, generator=generator)

    for case, levels in every_plan(10):
        x = torch.randn(4, 1, 2, 2, dtype=torch.float64)
        expected = samplers.ddim(exact, x, levels, noise(), eta=1.0)
        close(samplers.ancestral(exact, x, levels, noise()), expected, case)


def test_ancestral_sampling_of_a_point_is_exact() -> None:
    """Where the data is one point, the posterior is the true reverse step, however few there are."""
    for case, levels in every_plan(5):
        levels = levels[:-1]  # stops before the data, where noise is left
        torch.manual_seed(0)
        x = levels[0].alpha * MEAN + levels[0].sigma * torch.randn(N, 1, 1, 1, dtype=torch.float64)
        x = samplers.ancestral(lambda x, _: torch.full_like(x, MEAN), x, levels, partial(torch.randn_like, x))
        mean, std = float(levels[len(levels) - 1].alpha) * MEAN, float(levels[len(levels) - 1].sigma)
        assert float(x.mean()) == pytest.approx(mean, abs=4 * std / math.sqrt(N)), case
        assert float(x.std()) == pytest.approx(std, rel=4 / math.sqrt(2 * N)), case


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_many_steps_reach_mean_and_variance_of_the_data(name: str) -> None:
    for plan in PLANS:
        steps = 1000 if plan[0] in processes.SCHEDULES else 2000
        mean, variance = through(samplers.SAMPLERS[name], levels_of(plan, steps))
        assert mean == pytest.approx(MEAN, rel=0.01), plan
        assert variance == pytest.approx(STD**2, rel=0.02), plan


def test_the_second_slope_pays_at_the_steps_that_are_used() -> None:
    for case, levels in every_plan(12, 24):
        ddim, heun = (abs(through(s, levels)[1] - STD**2) for s in (samplers.ddim, samplers.heun))
        assert heun < ddim < 0.15, case


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("ddim", 1), ("heun", 2), ("dpmpp_2m", 2)])
@pytest.mark.parametrize(
    ("process", "start", "end"), [("flow", 0.8, 0.2), ("flow", 1.0, 0.2), ("edm", 0.7, 0.3)]
)
def test_samplers_are_of_their_order(name: str, order: int, process: str, start: float, end: float) -> None:
    """Twice the steps, half or a quarter of the error; before the last step, which is always Euler's."""

    def error(steps: int) -> float:
        times = torch.linspace(start, end, steps + 1, dtype=torch.float64)
        at = processes.process(process).at(times)
        c, _ = affine(lambda x: samplers.SAMPLERS[name](exact, x, at, lambda: x))
        (_, before), (_, after) = marginal(at[0]), marginal(at[steps])
        return abs(c - math.sqrt(after / before))

    # The multistep one begins with a step of first order, which fades more slowly.
    assert error(512) / error(1024) == pytest.approx(2**order, rel=0.25 if name == "dpmpp_2m" else 0.05)
    assert error(1024) < (2e-3 if order == 1 else 1e-4)


def test_eulers_steps_are_those_of_ddim() -> None:
    """A first-order step along a straight line is the same in all coordinates."""
    x = torch.randn(4, 1, 2, 2, dtype=torch.float64)
    for plan in PLANS:
        levels = levels_of(plan, 9)
        result = samplers.euler(exact, x, levels, lambda: x)
        torch.testing.assert_close(result, samplers.ddim(exact, x, levels, lambda: x))


def test_euler_of_a_flow_is_x_plus_dt_v() -> None:
    levels, x = processes.levels(processes.Flow(), 4), torch.randn(3, 1, 2, 2, dtype=torch.float64)
    by_hand, times = x, [1.0, 0.75, 0.5, 0.25, 0.0]
    for i, (t, s) in enumerate(itertools.pairwise(times)):
        x_0 = exact(by_hand, levels[i])
        by_hand = by_hand + (s - t) * ((by_hand - (1 - t) * x_0) / t - x_0)
    torch.testing.assert_close(samplers.euler(exact, x, levels, lambda: x), by_hand)


def by_heun(x: Tensor, levels: Level, *, straight: bool) -> Tensor:
    """Karras et al. 2022, Alg. 1, of u = x / scale by r = sigma / scale.

    EDM's scale is 1, and du/dr = eps; elsewhere, where paths are straight, alpha + sigma:
    u = (1 - r) x_0 + r eps, du/dr = eps - x_0.
    """
    steps = len(levels) - 1
    alphas, sigmas = levels.alpha.tolist(), levels.sigma.tolist()
    scales = [a + s if straight else a for a, s in zip(alphas, sigmas, strict=True)]
    ratios = [s / scale for s, scale in zip(sigmas, scales, strict=True)]

    def slope(u: Tensor, i: int) -> Tensor:
        x_0 = exact(scales[i] * u, levels[i])
        eps = (scales[i] * u - alphas[i] * x_0) / sigmas[i]
        return eps - x_0 if straight else eps

    u = x / scales[0]
    for i in range(steps):
        dr, d = ratios[i + 1] - ratios[i], slope(u, i)
        ahead = u + dr * d
        u = ahead if i + 1 == steps else u + dr * (d + slope(ahead, i + 1)) / 2
    return u


def test_heun_is_its_formula() -> None:
    for plan, steps in itertools.product(PLANS, (2, 3, 12)):
        levels, x = levels_of(plan, steps), torch.randn(3, 1, 2, 2, dtype=torch.float64)
        expected = by_heun(x, levels, straight=plan[0] != "edm")
        close(samplers.heun(exact, x, levels, no_noise), expected, f"{plan} in {steps} steps")


def by_dpm_solver(x: Tensor, levels: Level) -> Tensor:
    """Lu et al. 2022, DPM-Solver++, Alg. 2."""
    steps, last = len(levels) - 1, x
    lam = (levels.alpha / levels.sigma).log()
    for i in range(steps):
        x_0 = exact(x, levels[i])
        d = x_0
        if 0 < i < steps - 1:
            r = (lam[i] - lam[i - 1]) / (lam[i + 1] - lam[i])  # infinite from noise alone: first order
            d = x_0 + (x_0 - last) / (2 * r)
        decay = torch.exp(-(lam[i + 1] - lam[i]))
        x = levels.sigma[i + 1] / levels.sigma[i] * x - levels.alpha[i + 1] * (decay - 1) * d
        last = x_0
    return x


def test_dpm_solver_is_algorithm_2() -> None:
    for case, levels in every_plan(2, 3, 12):
        x = torch.randn(3, 1, 2, 2, dtype=torch.float64)
        close(samplers.dpmpp_2m(exact, x, levels, no_noise), by_dpm_solver(x, levels), case)


@pytest.mark.parametrize("name", samplers.SAMPLERS)
def test_one_step_is_the_denoisers_answer(name: str) -> None:
    for plan in PLANS:
        levels, x = levels_of(plan, 1), torch.randn(3, 1, 2, 2, dtype=torch.float64)
        result = samplers.SAMPLERS[name](exact, x, levels, partial(torch.randn_like, x))
        torch.testing.assert_close(result, exact(x, levels[0]))


@pytest.mark.parametrize("name", samplers.SAMPLERS)
def test_samplers_keep_float32(name: str) -> None:
    x = torch.randn(2, 1, 2, 2)
    assert samplers.SAMPLERS[name](exact, x, levels_of(PLANS[0], 3), lambda: x).dtype == torch.float32


def test_guidance_is_linear() -> None:
    both = torch.cat([torch.full((2, 1, 1, 1), 3.0), torch.full((2, 1, 1, 1), 1.0)])
    for scale, expected in ((0.0, 1.0), (1.0, 3.0), (1.5, 4.0)):
        assert samplers.guided(both, scale).flatten().tolist() == [expected] * 2


@pytest.mark.parametrize(
    ("steps", "strength", "sigmas"),
    [
        (10, 0.5, [0.5, 0.4, 0.3, 0.2, 0.1, 0.0]),
        (1, 0.3, [0.3, 0.0]),
        (4, 0.9, [0.9, 0.675, 0.45, 0.225, 0.0]),
        (12, 0.02, [0.02, 0.0]),
    ],
)
def test_a_start_from_an_image_is_at_the_strength_that_was_asked_for(
    steps: int, strength: float, sigmas: list[float]
) -> None:
    result = processes.levels(processes.Flow(), steps, strength=strength)
    assert result.sigma.tolist() == pytest.approx(sigmas)


def test_levels_fall_wherever_they_begin() -> None:
    cases = itertools.product(PLANS, (1, 7, 1000), (0.001, 0.2, 0.3333, 0.97))
    for name, zero, spacing, shift, steps, strength in ((*plan, *rest) for plan, *rest in cases):
        process = processes.process(name, shift, zero)
        levels = processes.levels(process, steps, spacing, strength)
        case = (name, zero, spacing, shift, steps, strength)
        assert 2 <= len(levels) <= steps + 1 and bool((levels.sigma.diff() < 0).all()), case
        assert levels.sigma[0] == process.at(torch.tensor([strength], dtype=torch.float64)).sigma, case
