"""The autoencoder against closed forms: a linear one learns what PCA finds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.autoencoder import Autoencoder, AutoencoderConfig
from models.data_spec import DataSpec
from models.family import Batch, Noise


def build(card: DataSpec, **changes: Any) -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(
        AutoencoderConfig(**{"latent": 2, "widths": (), "width": 8, "hidden": 16, **changes}), card
    )


def test_a_linear_one_spans_the_principal_components() -> None:
    """Baldi & Hornik 1989: at the minimum its error is that of PCA. Small values, so that tanh is linear."""
    generator = torch.Generator().manual_seed(1)
    x = 0.02 * torch.randn(256, 9, generator=generator) @ torch.diag(torch.linspace(1, 0.1, 9))
    x -= x.mean(0)
    family = build(DataSpec(1, 3))
    optimizer = torch.optim.LBFGS(family.parameters(), max_iter=500, tolerance_change=0, tolerance_grad=0)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = 1e4 * family.loss(Batch(256, x.view(-1, 1, 3, 3)))[0]["mse"].mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    left = torch.linalg.svdvals(x)[2:].square().sum() / x.numel()
    torch.testing.assert_close(closure() / 1e4, left, rtol=0.02, atol=0)


@pytest.mark.parametrize("change", [{"noise": 0.3}, {"masked": 0.5}])
def test_the_encoder_sees_noise_and_the_target_is_clean(change: dict[str, float]) -> None:
    family, batch = build(DataSpec(1, 6), **change), Batch(8, torch.rand(8, 1, 6, 6))
    calls: list[Tensor] = []
    family.generator.encoder.register_forward_hook(lambda m, inputs, out: calls.append(inputs[0]))
    assert batch.image is not None
    terms, _ = family.loss(batch)
    assert not torch.equal(calls[0], batch.image)
    expected = (batch.image - family.generator(calls[0])).square().mean()
    torch.testing.assert_close(terms["mse"], expected)
    family.eval()
    family.loss(batch)
    assert torch.equal(calls[-1], batch.image)


def test_noise_and_blackened_pixels_are_as_many_as_asked_for() -> None:
    x = torch.full((50, 1, 20, 20), 0.2)
    noisy = build(DataSpec(1, 20), noise=0.1).corrupted(x)
    torch.testing.assert_close((noisy - x).std() / 2, torch.tensor(0.1), rtol=0.03, atol=0)
    assert build(DataSpec(1, 20), noise=0.5).corrupted(-torch.ones_like(x)).min() == -1, (
        "noisy images end there too"
    )
    black = build(DataSpec(1, 20), masked=0.3).corrupted(x) == -1
    torch.testing.assert_close(black.float().mean(), torch.tensor(0.3), rtol=0.05, atol=0)


def test_colours_are_blackened_together() -> None:
    black = build(DataSpec(3, 8), masked=0.5).corrupted(torch.zeros(4, 3, 8, 8)) == -1
    assert torch.equal(black[:, 0], black[:, 1]) and torch.equal(black[:, 0], black[:, 2])


@pytest.mark.parametrize("card", [DataSpec(1, 28), DataSpec(3, 32), DataSpec(3, 15)])
@pytest.mark.parametrize("network", ["dense", "conv"])
def test_a_sample_is_the_picture_of_its_code(card: DataSpec, network: str) -> None:
    family, x = build(card, network=network, latent=5), torch.rand(3, *card.shape) * 2 - 1
    with torch.no_grad():
        z = family.generator.code(Batch(3, x))
        assert z.shape == (3, 5) and z.dtype == torch.float32
        picture = family.generator.picture(z, Batch(3))
        assert torch.equal(picture, family.generator.sample(Batch(3, x), Noise(range(3))))


def test_the_observed_error_is_of_pixels_from_0_to_1() -> None:
    family, x = build(DataSpec(1, 6)), torch.rand(4, 1, 6, 6)
    _, observed = family.loss(Batch(4, x))
    torch.testing.assert_close(observed["mae"], (x - family.generator(x)).abs().mean() / 2)
    assert not observed["mae"].requires_grad
