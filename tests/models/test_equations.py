"""Each equation of the families against a closed form; nothing is trained."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jvp
from torch.distributions import Bernoulli, Normal, kl_divergence

from models import diffusion, vae


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_kl_is_the_divergence_of_two_gaussians() -> None:
    mean, log_variance = normal(5, 7), normal(5, 7, seed=1)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(vae.kl_to_prior(mean, log_variance), expected)


def test_bernoulli_likelihood_is_summed_over_pixels() -> None:
    x, logit = (normal(3, 1, 4, 4) > 0).double(), normal(3, 1, 4, 4, seed=1)
    expected = -Bernoulli(logits=logit).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(vae.bernoulli_nll(x, logit), expected)


def test_gaussian_likelihood_is_at_the_best_sigma() -> None:
    x, mean = normal(6, 1, 4, 4), normal(6, 1, 4, 4, seed=1)
    sigma = (x - mean).square().mean().sqrt()
    found = vae.gaussian_nll(x, mean)
    torch.testing.assert_close(found, -Normal(mean, sigma).log_prob(x).sum((1, 2, 3)))
    for other in (0.9 * sigma, 1.1 * sigma):
        assert found.mean() < -Normal(mean, other).log_prob(x).sum((1, 2, 3)).mean()


def test_gaussian_likelihood_of_a_perfect_reconstruction_is_finite() -> None:
    x = normal(2, 1, 4, 4)
    assert vae.gaussian_nll(x, x).isfinite().all()


def test_the_interpolant_goes_from_data_to_noise_at_its_velocity() -> None:
    x_0, eps, t = normal(4, 1, 2, 2), normal(4, 1, 2, 2, seed=1), torch.rand(4, dtype=torch.float64)
    torch.testing.assert_close(diffusion.interpolant(x_0, eps, torch.zeros(4).double()), x_0)
    torch.testing.assert_close(diffusion.interpolant(x_0, eps, torch.ones(4).double()), eps)
    _, slope = jvp(lambda t: diffusion.interpolant(x_0, eps, t), t, torch.ones_like(t))
    torch.testing.assert_close(diffusion.velocity(x_0, eps), slope)


def test_times_are_logit_normal() -> None:
    torch.manual_seed(0)
    logit = diffusion.logit_normal(20_000, 0.5, 1.5, torch.device("cpu")).logit()
    assert float(logit.mean()) == pytest.approx(0.5, abs=0.04)
    assert float(logit.std()) == pytest.approx(1.5, abs=0.04)


SCALE = 0.5  # of Gaussian data


def exact_velocity(x: Tensor, t: Tensor) -> Tensor:
    """E[eps - x_0 | x_t] for x_0 ~ N(0, SCALE^2): both are Gaussian given x_t."""
    t = t[:, None, None, None]
    return x * (t - (1 - t) * SCALE**2) / ((1 - t) ** 2 * SCALE**2 + t**2)


def sampling_error(name: str, steps: int) -> float:
    """How far the sampler is from the exact solution of the ODE, which scales noise by SCALE."""
    noise = normal(64, 1, 2, 2)
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    return float((diffusion.SAMPLERS[name](exact_velocity, noise, times) - SCALE * noise).abs().max())


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2)])
def test_samplers_turn_noise_into_gaussian_data_at_their_order(name: str, order: int) -> None:
    coarse, fine = sampling_error(name, 64), sampling_error(name, 128)
    assert fine < 0.05 / order**4
    assert coarse / fine == pytest.approx(2**order, rel=0.25)


def test_guidance_is_linear_and_takes_one_pass() -> None:
    calls: list[int] = []

    def network(x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        calls.append(len(x))
        return x * label[:, None, None, None]

    x, t = normal(3, 1, 2, 2), torch.full((3,), 0.5)
    label, null = torch.tensor([1, 2, 3]), torch.full((3,), 10)
    for scale in (0.0, 1.0, 1.5):
        expected = x * (null + scale * (label - null))[:, None, None, None]
        torch.testing.assert_close(diffusion.guided(network, label, null, scale)(x, t), expected)
    assert calls == [6, 6, 6]
