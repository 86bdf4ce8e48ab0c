"""The autoencoder with spatial latents: closed forms, its codebook, and shapes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from models.data_spec import DataSpec
from models.family import Batch
from models.kl_vae import KLVAE, Codebook, KLVAEConfig, perplexity
from tests import tiny

VQ = {"quantizer": "vq", "codebook_size": 16}


def build(card: DataSpec = tiny.CARD, **changes: object) -> KLVAE:
    torch.manual_seed(0)
    return KLVAE(
        KLVAEConfig(**{"downsampling": 2, "latent": 2, "width": 16, "max_width": 16, **changes}), card
    )


def images(card: DataSpec, n: int = 4) -> Tensor:
    return torch.rand(n, *card.shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("quantizer", ["none", "vq"])
@pytest.mark.parametrize("downsampling", [2, 4, 8])
@pytest.mark.parametrize("resolution", [8, 15, 28, 32])
def test_latents_are_small_images_and_become_images_again(
    resolution: int, downsampling: int, quantizer: str
) -> None:
    card = DataSpec(1, resolution, 3)
    generator = build(card, downsampling=downsampling, quantizer=quantizer).generator
    side = -(-resolution // downsampling)
    mean, log_variance = generator.encode(images(card))
    assert mean.shape == log_variance.shape == (4, 2, side, side)
    assert generator.decode(mean).shape == (4, *card.shape)
    assert generator.latents(card) == DataSpec(2, side, 3)


@pytest.mark.parametrize("weight", [1e-6, 0.5])
def test_the_divergence_is_that_of_two_gaussians(weight: float) -> None:
    family, x = build(kl_weight=weight), images(tiny.CARD)
    mean, log_variance = family.generator.encode(x)
    q = Independent(Normal(mean, (log_variance / 2).exp()), 3)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 3)
    result = family.loss(Batch(4, x))[0]["kl"]
    torch.testing.assert_close(result, weight * kl_divergence(q, prior) / 64)


@pytest.mark.parametrize("likelihood", ["l1", "gaussian"])
def test_the_likelihood_is_that_of_unit_scale(likelihood: str) -> None:
    """But for the constant, which no gradient sees."""
    family, x = build(likelihood=likelihood), images(tiny.CARD)
    family.generator.decode = lambda z: torch.zeros_like(x)  # type: ignore[method-assign]
    kind = torch.distributions.Laplace(0, 1) if likelihood == "l1" else Normal(0, 1)
    expected = (kind.log_prob(torch.zeros(())) - kind.log_prob(x)).flatten(1).mean(1)
    torch.testing.assert_close(family.loss(Batch(4, x))[0]["reconstruction"], expected)


def test_latents_as_large_as_images_are_refused() -> None:
    with pytest.raises(ValueError, match="latent=4 with downsampling=2 gives latents of 64 dimensions"):
        build(latent=4)


def test_the_scale_makes_the_variance_one() -> None:
    generator = build().generator
    z = [3 + s * torch.randn(1000, dtype=torch.float64) for s in (1.0, 5.0)]
    for part in z:
        generator.settle(part.mean().float(), part.square().mean().float())
    scaled = torch.cat(z) * generator.scale().double()
    assert float(scaled.var(correction=0)) == pytest.approx(1, rel=1e-4), "the first updates weigh alike"
    for _ in range(2000):
        generator.settle(torch.tensor(1.0), torch.tensor(5.0))
    assert float(generator.scale()) == pytest.approx(0.5, rel=1e-3), "and are forgotten in time"


def test_training_settles_the_scale() -> None:
    trainer, _ = tiny.run("kl_vae", tiny.settings(steps=40, batch=32, micro_batches=2))
    generator = trainer.family.generator
    assert float(generator.settled) == 40
    torch.manual_seed(0)
    _, observed = trainer.family.loss(Batch(64, tiny.split().images[:] / torch.tensor(127.5) - 1))
    variance = (observed["latent_square"] - observed["latent_mean"].square()) * generator.scale().square()
    assert 0.3 < float(variance) < 3


# The codebook


def codebook(codes: int = 3, dim: int = 2) -> Codebook:
    torch.manual_seed(0)
    return Codebook(codes, dim)


def test_the_nearest_code_with_the_gradient_of_what_it_replaces() -> None:
    book = codebook()
    book.code.copy_(torch.tensor([[0.0, 0.0], [1.0, 1.0], [-2.0, 0.0]]))
    z = torch.tensor([[0.9, 0.8], [-1.5, 0.1]]).view(2, 2, 1, 1).requires_grad_()
    result = book(z)
    torch.testing.assert_close(result.flatten(1), torch.tensor([[1.0, 1.0], [-2.0, 0.0]]))
    weight = torch.randn(2, 2, 1, 1)
    (weight * result).sum().backward()
    torch.testing.assert_close(z.grad, weight)


def lay(points: Tensor) -> Tensor:
    """Points (N, D) as latents of one pixel."""
    return points[:, :, None, None]


def test_without_memory_the_codes_move_as_in_k_means() -> None:
    book = codebook()
    points = torch.randn(300, 2)
    index = book.nearest(lay(points))
    means = torch.stack([points[index.flatten() == k].mean(0) for k in range(3)])
    book.move(book.batch_statistics(lay(points), index)[None], decay=0)
    torch.testing.assert_close(book.code, means)


def test_codes_are_moving_averages_over_all_shards() -> None:
    book, decay = codebook(), 0.9
    count, total = torch.zeros(3), torch.zeros(3, 2)
    for _ in range(5):
        shards = [torch.randn(50, 2) for _ in range(2)]
        statistics = torch.stack([book.batch_statistics(lay(s), book.nearest(lay(s))) for s in shards])
        points = torch.cat(shards)
        one_hot = torch.nn.functional.one_hot(book.nearest(lay(points)).flatten(), 3).float()
        count = decay * count + (1 - decay) * one_hot.sum(0)
        total = decay * total + (1 - decay) * one_hot.T @ points
        book.move(statistics, decay)
        torch.testing.assert_close(book.code, total / count[:, None])


def test_codes_that_nothing_is_near_to_begin_anew_at_latents() -> None:
    book = codebook(8)
    book.code.copy_(100 + torch.arange(16.0).view(8, 2))
    book.code[0] = 0
    shards = torch.randn(2, 20, 2)
    statistics = torch.stack([book.batch_statistics(lay(s), book.nearest(lay(s))) for s in shards])
    book.move(statistics, 0.5)
    torch.testing.assert_close(book.code[0], shards.flatten(0, 1).mean(0))
    for k in range(1, 8):
        assert any(torch.allclose(book.code[k], z) for z in shards[k % 2]), "of one shard, then the other"
    assert (book.count > 0).all(), "with a share, so that they are not dead again at once"


def test_perplexity_counts_the_codes_in_use() -> None:
    assert float(perplexity(torch.tensor([5.0, 5.0, 0.0, 0.0]))) == pytest.approx(2)
    assert float(perplexity(torch.ones(16))) == pytest.approx(16)


def test_training_brings_the_codes_into_use() -> None:
    trainer, log = tiny.run("kl_vae", tiny.settings(steps=40, batch=32), change=VQ)
    assert log.rows[-1]["autoencode/perplexity"] > 4
    assert trainer.family.generator.encode(images(tiny.CARD))[1].eq(-30).all(), "there is no variance"


def test_validation_moves_no_code() -> None:
    family = build(**VQ).eval()
    family.loss(Batch(4, images(tiny.CARD)))
    assert not family.statistics
