"""Processes, targets and weights: identities in float64, and figures of the papers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from models.parts import processes
from models.parts.processes import EDM, Flow, Level, Schedule

SCHEDULES = ("linear", "cosine", "sigmoid")
EVERY = pytest.mark.parametrize("name", [*SCHEDULES, "flow", "edm"])
TARGETS = ("velocity", "eps", "x_0", "v", "edm")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some(name: str = "cosine", **changes: object) -> Level:
    """Levels in the middle of a process, (7, 1, 1, 1)."""
    at = processes.process(name, **changes).at(torch.linspace(0.1, 0.9, 7, dtype=torch.float64))  # type: ignore[arg-type]
    return Level(*(p[:, None, None, None] for p in (at.time, at.alpha, at.sigma)))


@EVERY
def test_noise_grows_with_time(name: str) -> None:
    level = processes.process(name).at(torch.linspace(0, 1, 101, dtype=torch.float64))
    ratio = level.sigma / level.alpha
    assert (ratio.diff()[ratio.diff().isfinite()] >= 0).all() and ratio[-1] > 50
    assert ratio[0] < 0.1 and level.time.diff().min() >= 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_preserve_variance_and_begin_with_data(name: str) -> None:
    alpha_bar = processes.SCHEDULES[name]()
    assert alpha_bar.shape == (1001,) and alpha_bar.dtype == torch.float64 and alpha_bar[0] == 1
    level = Schedule(alpha_bar).at(torch.linspace(0, 1, 50))
    torch.testing.assert_close(level.alpha**2 + level.sigma**2, torch.ones(50, dtype=torch.float64))


def test_schedules_are_those_of_the_papers() -> None:
    linear = processes.linear()
    assert float(linear[-1].sqrt()) == pytest.approx(0.0064, abs=5e-5)  # signal left at T
    assert float(linear[1]) == pytest.approx(1 - 1e-4)
    assert float(linear[-1] / linear[-2]) == pytest.approx(0.98)
    cosine, t = processes.cosine(), 500 / 1000
    f = [math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2 for u in (t, 0)]
    assert float(cosine[500]) == pytest.approx(f[0] / f[1], rel=1e-9)
    assert float(processes.betas(cosine)[-1]) == pytest.approx(0.999)
    v = [1 / (1 + math.exp(-u)) for u in (0.0, -3.0, 3.0)]
    assert float(processes.sigmoid()[500]) == pytest.approx((v[2] - v[0]) / (v[2] - v[1]), rel=1e-9)


def test_steps_of_edm_are_table_1() -> None:
    sigma = processes.levels(EDM(), 18).sigma
    expected = [(80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(18)]
    torch.testing.assert_close(sigma, torch.tensor([*expected, 0.0], dtype=torch.float64))
    assert float(EDM().at_ratio(torch.tensor(2.0)).time) == pytest.approx(math.log(2) / 4)


def test_zero_terminal_snr_ends_in_noise_and_keeps_the_first_step() -> None:
    before = processes.linear()
    after = processes.zero_terminal_snr(before)
    assert after[-1] == 0 and after[0] == 1
    assert float(after[1]) == pytest.approx(float(before[1]), rel=1e-12)
    assert (after.diff() < 0).all()


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
def test_a_shift_multiplies_sigma_over_alpha(shift: float) -> None:
    t = torch.linspace(0.05, 0.95, 9, dtype=torch.float64)
    for name in ("flow", *SCHEDULES):
        plain, moved = processes.process(name).at(t), processes.process(name, shift).at(t)
        torch.testing.assert_close(moved.sigma / moved.alpha, shift * plain.sigma / plain.alpha)


@pytest.mark.parametrize(("spacing", "first", "last"), [
    ("linspace", 1000, 1),
    ("trailing", 1000, 100),
    ("leading", 901, 1),
])  # fmt: skip
def test_spacings_visit_what_their_names_say(spacing: str, first: int, last: int) -> None:
    schedule = Schedule(processes.linear())
    times = schedule.times(10, spacing) * 1000
    assert len(times) == 10 and (times.diff() < 0).all()
    assert (float(times[0]), float(times[-1])) == (first, last)
    levels = processes.levels(schedule, 10, spacing)
    # Looked up from the list, and no step of it lost to rounding.
    expected = processes.linear()[times.long()].sqrt()
    torch.testing.assert_close(levels.alpha[:-1], expected, rtol=0, atol=0)
    assert levels.alpha[-1] == 1 and levels.sigma[-1] == 0


def test_every_step_of_a_schedule_can_be_visited_once_and_no_more() -> None:
    schedule = Schedule(processes.cosine())
    for spacing in ("linspace", "leading", "trailing"):
        assert (schedule.times(1000, spacing) * 1000).round().tolist() == list(range(1000, 0, -1))
    with pytest.raises(ValueError, match="sampler_steps=1001 is more than the 1000 steps"):
        schedule.times(1001)


@pytest.mark.parametrize("name", TARGETS)
def test_x_0_comes_back_from_what_is_predicted(name: str) -> None:
    level = some("edm" if name == "edm" else "cosine")
    x_0, eps = normal(7, 1, 2, 2), normal(7, 1, 2, 2, seed=1)
    a, b = processes.target(name, level)
    x = level.alpha * x_0 + level.sigma * eps
    torch.testing.assert_close(processes.denoised(x, a * x_0 + b * eps, level, a, b), x_0)


def test_targets_are_those_of_the_papers() -> None:
    level = some("cosine")
    x_0, eps = normal(7, 1, 2, 2), normal(7, 1, 2, 2, seed=1)

    def f(name: str) -> Tensor:
        a, b = processes.target(name, level)
        return a * x_0 + b * eps

    torch.testing.assert_close(f("eps"), eps)
    torch.testing.assert_close(f("x_0"), x_0)
    torch.testing.assert_close(f("v"), level.alpha * eps - level.sigma * x_0)
    torch.testing.assert_close(f("velocity"), eps - x_0)


def test_edm_predicts_with_unit_variance_and_its_skip_is_table_1() -> None:
    level, data = some("edm"), 0.5
    x_0, eps, f = data * normal(7, 1, 2, 2), normal(7, 1, 2, 2, seed=1), normal(7, 1, 2, 2, seed=2)
    a, b = processes.target("edm", level, data)
    torch.testing.assert_close((a * data) ** 2 + b**2, torch.ones_like(a))
    sigma = level.sigma
    skip, out = data**2 / (sigma**2 + data**2), sigma * data / (sigma**2 + data**2).sqrt()
    x = x_0 + sigma * eps
    torch.testing.assert_close(processes.denoised(x, f, level, a, b), skip * x + out * f)


@pytest.mark.parametrize("name", ["eps", "x_0", "v", "velocity"])
def test_weights_ask_the_same_of_x_0_whatever_is_predicted(name: str) -> None:
    level = some("cosine")
    snr = (level.alpha / level.sigma) ** 2
    a, b = processes.target(name, level)
    error_of_x_0, x, f = normal(7, 1, 2, 2), normal(7, 1, 2, 2, seed=1), normal(7, 1, 2, 2, seed=2)
    # Two predictions whose x_0 differ by error_of_x_0.
    other = f - error_of_x_0 * (level.alpha * b - level.sigma * a) / level.sigma
    gap = processes.denoised(x, other, level, a, b) - processes.denoised(x, f, level, a, b)
    torch.testing.assert_close(gap, error_of_x_0)
    wanted = {"min_snr": snr.clamp(max=5), "p2": snr / (1 + snr), "edm": snr + 4}
    for weighting, expected in wanted.items():
        result = processes.weight(weighting, level, a, b) * (other - f) ** 2
        torch.testing.assert_close(result, expected * error_of_x_0**2)


@pytest.mark.parametrize("weighting", ["plain", "min_snr", "p2", "edm"])
def test_the_smallest_uniform_number_has_a_weight(weighting: str) -> None:
    for process in ("flow", "edm", "linear", "cosine"):
        level = processes.drawn(processes.process(process), "uniform", torch.zeros(1), 0.0, 1.0)
        weight = processes.weight(weighting, level, *processes.target("v", level))
        assert weight.isfinite().all() and bool((weight > 0).all()), process


def test_min_snr_weights_are_those_of_the_paper() -> None:
    level = some("cosine")
    snr, low = (level.alpha / level.sigma) ** 2, ((level.alpha / level.sigma) ** 2).clamp(max=5)
    for name, expected in {"eps": low / snr, "x_0": low, "v": low / (snr + 1)}.items():
        torch.testing.assert_close(
            processes.weight("min_snr", level, *processes.target(name, level)), expected
        )


def test_p2_weights_are_those_of_the_paper() -> None:
    """Choi et al. 2022, Eq. 8, at k = gamma = 1: of the error of eps, 1 / (k + SNR)."""
    level = some("cosine")
    weight = processes.weight("p2", level, *processes.target("eps", level))
    torch.testing.assert_close(weight, 1 / (1 + (level.alpha / level.sigma) ** 2))


def test_edm_weighs_its_own_target_evenly() -> None:
    level = some("edm")
    weight = processes.weight("edm", level, *processes.target("edm", level))
    torch.testing.assert_close(weight, torch.ones_like(weight))


def test_the_flow_goes_straight_at_its_velocity() -> None:
    t = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    level = Flow().at(t)
    assert torch.equal(level.sigma, t) and torch.equal(level.alpha, 1 - t)


def test_uniform_numbers_are_one_in_each_part() -> None:
    torch.manual_seed(0)
    u = torch.stack([processes.stratified(16, torch.device("cpu")) for _ in range(500)])
    assert torch.equal((u * 16).floor(), torch.arange(16.0).expand(500, 16))
    assert float(((u * 16) % 1).mean()) == pytest.approx(0.5, abs=0.01)


def test_times_have_their_distributions() -> None:
    u = (torch.arange(20_000) + 0.5) / 20_000
    t = processes.drawn(Flow(), "logit_normal", u, 0.5, 1.5).time
    assert float(t.logit().mean()) == pytest.approx(0.5, abs=1e-3)
    assert float(t.logit().std()) == pytest.approx(1.5, abs=1e-2)
    sigma = processes.drawn(EDM(), "log_normal", u, -1.2, 1.2).sigma
    assert float(sigma.log().mean()) == pytest.approx(-1.2, abs=1e-3)
    assert float(sigma.log().std()) == pytest.approx(1.2, abs=1e-2)
    torch.testing.assert_close(processes.drawn(Flow(), "log_normal", u, 0.5, 1.5).time, t)
    assert torch.equal(processes.drawn(Flow(), "uniform", u, 0, 1).time, u.double())
    ends = processes.drawn(Flow(), "logit_normal", torch.tensor([0.0, 1.0]), 0.0, 1.0).time
    assert 0 < ends[0] < ends[1] < 1


@pytest.mark.parametrize("name", SCHEDULES)
def test_log_normal_times_find_the_step_of_their_noise(name: str) -> None:
    schedule = Schedule(processes.SCHEDULES[name]())
    step = torch.arange(1, 1001)
    level = schedule.at(step / 1000)
    result = schedule.at_ratio(level.sigma / level.alpha * (1 - 1e-9))
    assert torch.equal((result.time * 1000).round().long(), step)
