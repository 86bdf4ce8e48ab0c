"""The VQ-VAE is the quantised autoencoder of latent diffusion by itself."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from models.data_spec import DataSpec
from models.family import Batch, Noise
from models.vqvae import VQVAE, VQVAEConfig


def build() -> VQVAE:
    torch.manual_seed(0)
    config = VQVAEConfig(downsampling=2, latent=2, width=16, max_width=16, codebook_size=8, attention=False)
    return VQVAE(config, DataSpec(1, 8))


def test_what_is_decoded_is_made_of_codes_alone() -> None:
    family = build().eval()
    calls: list[torch.Tensor] = []
    family.generator.decoder.register_forward_hook(lambda m, inputs, out: calls.append(inputs[0]))
    with torch.no_grad():
        family.generator.sample(Batch(4, torch.rand(4, 1, 8, 8)), Noise(range(4)))
    assert family.generator.codebook is not None
    distances = torch.cdist(calls[0].permute(0, 2, 3, 1).flatten(0, 2), family.generator.codebook.code)
    assert distances.min(1).values.max() < 1e-3 < distances.max()


def test_use_of_the_codes_is_told() -> None:
    terms, observed = build().loss(Batch(4, torch.rand(4, 1, 8, 8)))
    assert terms.keys() == {"reconstruction", "commitment"}
    assert 1 <= observed["perplexity"] <= 8 and 1 / 8 <= observed["codes_used"] <= 1


def test_it_cannot_do_without_codes() -> None:
    with pytest.raises(ValidationError, match="quantizer"):
        VQVAEConfig(quantizer="none")
