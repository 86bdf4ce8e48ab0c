"""Each equation of the families against a closed form; nothing is trained."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

from models import vae


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
    result = vae.gaussian_nll(x, mean)
    torch.testing.assert_close(result, -Normal(mean, sigma).log_prob(x).sum((1, 2, 3)))
    for other in (0.9 * sigma, 1.1 * sigma):
        assert result.mean() < -Normal(mean, other).log_prob(x).sum((1, 2, 3)).mean()


def test_gaussian_likelihood_of_a_perfect_reconstruction_is_finite() -> None:
    x = normal(2, 1, 4, 4)
    assert vae.gaussian_nll(x, x).isfinite().all()
