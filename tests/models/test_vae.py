"""The VAE against closed forms: a linear one is probabilistic PCA, whose likelihood is known."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence

from models import vae
from models.data_spec import DataSpec
from models.family import Batch, Noise
from models.vae import VAE, VAEConfig

CARD = DataSpec(1, 4)  # 16 pixels
SIGMA = 0.2


def build(card: DataSpec = CARD, **changes: Any) -> VAE:
    torch.manual_seed(0)
    base = {"network": "dense", "widths": (), "latent": 3, "width": 8, "hidden": 16}
    return VAE(VAEConfig(**{**base, **changes}), card)


def images(n: int = 6, card: DataSpec = CARD) -> Batch:
    generator = torch.Generator().manual_seed(1)
    label = torch.arange(n) % card.num_classes if card.num_classes else None
    return Batch(n, torch.rand(n, *card.shape, generator=generator) * 2 - 1, label)


class PPCA:
    """Tipping & Bishop 1999: x = W z + mu + sigma eps, with columns of W at right angles to each other."""

    def __init__(self, latent: int = 3):
        generator = torch.Generator().manual_seed(2)
        basis = torch.linalg.qr(torch.randn(16, latent, generator=generator)).Q
        self.w = basis * torch.tensor([0.9, 0.5, 0.3])
        self.mu = torch.rand(16, generator=generator)
        self.m = self.w.T @ self.w + SIGMA**2 * torch.eye(latent)  # diagonal

    def log_p(self, x: Tensor) -> Tensor:
        covariance = self.w @ self.w.T + SIGMA**2 * torch.eye(16)
        return MultivariateNormal(self.mu.double(), covariance.double()).log_prob(x.flatten(1).double())

    def write_into(self, family: VAE, worse: float = 0.0) -> None:
        """Weights with which the VAE is this model and its encoder the exact posterior, or a worse one."""
        inverse = self.m.inverse() @ self.w.T
        encoder, decoder = family.generator.encoder.dense[0], family.generator.decoder.dense[0]
        assert isinstance(encoder, nn.Linear) and isinstance(decoder, nn.Linear)
        with torch.no_grad():
            encoder.weight.copy_(torch.cat([inverse / 2, torch.zeros(3, 16)]))  # of 2 x - 1
            log_variance = (SIGMA**2 * self.m.inverse().diagonal()).log() + worse
            encoder.bias.copy_(torch.cat([inverse @ (0.5 - self.mu) + worse, log_variance]))
            decoder.weight.copy_(self.w)
            decoder.bias.copy_(self.mu)


def linear(worse: float = 0.0) -> tuple[VAE, Tensor]:
    """A linear VAE and the exact log likelihood of `images()`."""
    family, model = build(likelihood="gaussian_fixed", sigma=SIGMA, bounded=False), PPCA()
    model.write_into(family, worse)
    image = images().image
    assert image is not None
    return family.eval(), model.log_p((image + 1) / 2)


def test_with_the_exact_posterior_every_weight_is_the_likelihood() -> None:
    family, exact = linear()
    weights = family.generator.log_weights(images(), Noise(range(6)), 7)
    torch.testing.assert_close(weights.double(), exact[:, None].expand(-1, 7), rtol=1e-4, atol=1e-3)
    terms, observed = family.loss(images())
    torch.testing.assert_close(
        -(terms["reconstruction"] + terms["kl"]).mean().double(), observed["elbo"].double()
    )


def test_the_elbo_misses_the_likelihood_by_the_divergence_of_the_posteriors() -> None:
    """log p(x) - ELBO = KL(q(z|x) || p(z|x)); with many draws the mean of the weights is the ELBO."""
    (best, exact), (family, _) = linear(), linear(worse=0.3)
    p, q = (
        Normal(mean, (log_variance / 2).exp())
        for mean, log_variance in (f.generator.posterior(images()) for f in (best, family))
    )
    elbo = family.generator.log_weights(images(), Noise(range(6)), 20_000).mean(1)
    torch.testing.assert_close(exact - elbo, kl_divergence(q, p).sum(1).double(), rtol=0.05, atol=0.05)


def test_the_importance_weighted_bound_rises_to_the_likelihood() -> None:
    family, exact = linear(worse=0.2)
    with torch.no_grad():
        weights = family.generator.log_weights(images(), Noise(range(6)), 10_000).double()
    # The expected bound of K draws, from as many groups as there are.
    bounds = [(weights.unflatten(1, (-1, k)).logsumexp(2) - math.log(k)).mean() for k in (1, 10, 100, 10_000)]
    assert bounds[0] < bounds[1] < bounds[2] < exact.mean() + 0.01
    torch.testing.assert_close(bounds[-1], exact.mean(), rtol=0, atol=0.02)


def test_weights_depend_on_an_images_own_seed() -> None:
    family, _ = linear(worse=0.3)
    whole = family.generator.log_weights(images(), Noise(range(6)), 60)
    part = family.generator.log_weights(images()[2:4], Noise(range(2, 4)), 60)
    torch.testing.assert_close(whole[2:4], part, rtol=1e-5, atol=1e-4)


def test_the_divergence_is_that_of_the_distributions() -> None:
    mean, log_variance = torch.randn(2, 5, 3).unbind()
    posterior = Normal(mean, (log_variance / 2).exp())
    expected = kl_divergence(posterior, Normal(0.0, 1.0))
    torch.testing.assert_close(vae.kl_by_dimension(mean, log_variance), expected)
    torch.testing.assert_close(vae.kl_to_prior(mean, log_variance), expected.sum(1))


def test_decoders_have_the_likelihoods_of_the_distributions() -> None:
    x, out = torch.rand(4, *CARD.shape), torch.randn(4, *CARD.shape)
    binary = x.round()
    nats = -Bernoulli(logits=out).log_prob(binary).flatten(1).sum(1)
    torch.testing.assert_close(build().generator.nll(binary, out), nats)
    for likelihood in ("gaussian_fixed", "gaussian_learned"):
        generator = build(likelihood=likelihood, sigma=0.3).generator
        nats = -Normal(out.sigmoid(), 0.3).log_prob(x).flatten(1).sum(1)
        torch.testing.assert_close(generator.nll(x, out), nats)
    best = (x - out.sigmoid()).square().mean().sqrt()
    nats = -Normal(out.sigmoid(), best).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(build(likelihood="gaussian").train().generator.nll(x, out), nats)


def test_a_learned_sigma_learns_the_spread() -> None:
    """Where the mean cannot follow, sigma becomes the deviation from it."""
    family = build(likelihood="gaussian_learned")
    x, out = torch.rand(64, *CARD.shape), torch.zeros(64, *CARD.shape)
    optimizer = torch.optim.Adam([family.generator.log_sigma], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        family.generator.nll(x, out).mean().backward()
        optimizer.step()
    expected = (x - 0.5).square().mean().sqrt()
    torch.testing.assert_close(family.generator.log_sigma.exp(), expected, rtol=1e-2, atol=0)


@pytest.mark.parametrize("draws", [1, 3])
def test_the_best_sigma_is_the_mean_of_the_first_batches(draws: int) -> None:
    family, variances = build(likelihood="gaussian", draws=draws), []
    for step in range(5):
        family.begin(step)
        batch = images(4 + step)
        _, observed = family.loss(batch)
        family.after_update(observed)
        variances.append(observed["variance"])
    torch.testing.assert_close(family.generator.variance, torch.stack(variances).mean())


def test_the_best_sigma_is_kept_for_later() -> None:
    family = build(likelihood="gaussian")
    _, observed = family.loss(images())
    for _ in range(2000):
        family.after_update(observed)
    torch.testing.assert_close(family.generator.variance, observed["variance"])
    assert family.eval().generator.log_weights(images(), Noise(range(6)), 2).isfinite().all()


def test_free_bits_cost_nothing_more() -> None:
    kl = torch.tensor([[0.1, 2.0], [0.3, 4.0]])
    torch.testing.assert_close(vae.free(kl, 0.5), torch.tensor(0.5 + 3.0))
    torch.testing.assert_close(vae.free(kl, 0.0), kl.sum(1).mean())
    family = build(free_bits=100.0)
    terms, _ = family.loss(images())
    torch.testing.assert_close(terms["kl"], torch.full((6,), 300.0))
    terms["kl"].mean().backward()
    assert all(not p.grad.any() for p in family.parameters() if p.grad is not None)


def test_beta_warms_up() -> None:
    family, costs = build(beta=2.0, beta_warmup=4), []
    for step in (0, 1, 3, 9):
        family.begin(step)
        torch.manual_seed(3)
        costs.append(family.loss(images())[0]["kl"].mean())
    torch.testing.assert_close(torch.stack(costs), costs[-1] * torch.tensor([0.25, 0.5, 1.0, 1.0]))


def test_validation_knows_no_warm_up() -> None:
    family, costs = build(beta=2.0, beta_warmup=100).eval(), []
    for step in (0, 99):
        family.begin(step)
        torch.manual_seed(3)
        costs.append(family.loss(images())[0]["kl"])
    torch.testing.assert_close(costs[0], costs[1])


def test_memory_changes_no_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    generator, result = build(likelihood="gaussian_fixed").eval().generator, []
    for numbers in (1, 6 * 16 * 4, 10**9):
        monkeypatch.setattr(vae, "DECODED_PIXELS", numbers)
        result.append(generator.log_weights(images(), Noise(range(6)), 10))
    torch.testing.assert_close(result[0], result[2])
    torch.testing.assert_close(result[1], result[2])


def test_more_draws_make_the_bound_tighter() -> None:
    values = []
    for draws in (1, 50):
        family = build(likelihood="gaussian_fixed", sigma=SIGMA, draws=draws)
        torch.manual_seed(3)
        values.append(-sum(term.mean() for term in family.loss(images(6))[0].values()))
    assert values[0] < values[1]


def test_with_the_exact_posterior_the_bound_of_training_is_the_likelihood() -> None:
    """Burda et al. 2016, Eq. 8: all weights are then p(x), however many are drawn."""
    family, model = build(likelihood="gaussian_fixed", sigma=SIGMA, bounded=False, draws=5), PPCA()
    model.write_into(family)
    inputs = images()
    assert inputs.image is not None
    exact = model.log_p((inputs.image + 1) / 2)
    torch.testing.assert_close(-family.loss(inputs)[0]["bound"].double(), exact, rtol=1e-4, atol=1e-3)


def test_weights_are_of_an_images_own_class() -> None:
    card = DataSpec(1, 8, 3)
    generator = build(card, conditional=True, likelihood="gaussian_fixed").eval().generator
    whole = generator.log_weights(images(6, card), Noise(range(6)), 4)
    for i in range(6):
        alone = generator.log_weights(images(6, card)[i : i + 1], Noise([i]), 4)
        torch.testing.assert_close(whole[i : i + 1], alone, rtol=1e-5, atol=1e-4)
    other = dataclasses.replace(images(6, card), label=(torch.arange(6) + 1) % 3)
    assert not torch.allclose(generator.log_weights(other, Noise(range(6)), 4), whole), "classes are heard"


@pytest.mark.parametrize("network", ["dense", "conv"])
def test_samples_of_a_class_follow_its_label(network: str) -> None:
    card = DataSpec(1, 8, 3)
    family = build(card, network=network, conditional=True)
    assert VAE.conditions(family.config, card) == {"label"}
    inputs = images(3, card)
    z = torch.zeros(3, 3)
    pictures = family.eval().generator.picture(z, inputs)
    assert not torch.equal(pictures[0], pictures[1])
    same = family.generator.picture(z, Batch(3, label=torch.zeros(3, dtype=torch.long)))
    torch.testing.assert_close(same[0], same[1])
    assert VAE.conditions(build(card).config, card) == frozenset()


def test_what_is_binarised_is_binary() -> None:
    batch = images()
    assert batch.image is not None
    x = (batch.image + 1) / 2
    threshold, stochastic = build(binarise="threshold"), build(binarise="stochastic")
    assert torch.equal(threshold.generator.binary(batch, Noise(range(6))), (x > 0.5).float())
    many = torch.stack(
        [stochastic.generator.binary(batch, Noise(range(s, s + 6))) for s in range(0, 3000, 6)]
    )
    assert set(many.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(many.mean(0), x, rtol=0, atol=0.1)
    targets = torch.stack([stochastic.training_target(batch) for _ in range(500)])
    torch.testing.assert_close(targets.mean(0), x, rtol=0, atol=0.1)


def test_grey_levels_have_no_bernoulli_likelihood() -> None:
    with pytest.raises(ValueError, match="no log p"):
        build().generator.log_weights(images(), Noise(range(6)), 2)


@pytest.mark.parametrize(("change", "message"), [
    ({"binarise": "threshold", "likelihood": "gaussian"}, "binarise=threshold is for"),
    ({"draws": 5, "beta": 2.0}, "draws=5 does not go with"),
    ({"bounded": False}, "bounded=false is for gaussian"),
])  # fmt: skip
def test_what_contradicts_itself_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(**change)


def test_labels_are_needed_for_a_conditional_one() -> None:
    with pytest.raises(ValueError, match="needs labels"):
        build(conditional=True)


def test_active_units_and_divergences_are_told() -> None:
    """An encoder whose first unit follows the image, and whose others are the prior."""
    family = build()
    encoder = family.generator.encoder.dense[0]
    assert isinstance(encoder, nn.Linear)
    with torch.no_grad():
        encoder.weight.zero_()
        encoder.bias.zero_()
        encoder.weight[0] = 1.0
    _, observed = family.loss(images(64))
    assert observed["active_units"] == 1
    assert observed["kl_z0"] > 0.1 and observed["kl_z1"] == observed["kl_z2"] == 0
