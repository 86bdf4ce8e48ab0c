"""Diffusion in latents: what it is trained on, what stands still, and what comes out."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from components.analysis import ablation
from models.data_spec import DataSpec
from models.family import Batch, Noise
from models.kl_vae import KLVAE, KLVAEConfig
from models.latent_diffusion import LatentDiffusion, LatentDiffusionConfig
from tests import tiny

CARD = DataSpec(1, 8, 3)


def autoencoder(card: DataSpec = CARD) -> KLVAE:
    torch.manual_seed(0)
    family = KLVAE(KLVAEConfig(downsampling=2, latent=2, width=16, max_width=16), card)
    family.generator.settle(torch.tensor(0.5), torch.tensor(4.25))  # a scale of 1 / 2
    return family


def build(card: DataSpec = CARD, **changes: object) -> LatentDiffusion:
    below = {"autoencoder": autoencoder().generator}
    family = LatentDiffusion(
        LatentDiffusionConfig(**{"width": 16, "sampler_steps": 3, **changes}), card, below
    )
    for p in family.generator.network.parameters():
        p.data += 0.02 * torch.randn_like(p)
    return family


def batch(n: int = 6) -> Batch:
    image = torch.rand(n, *CARD.shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return Batch(n, image, torch.arange(n) % 3)


def loss(family: LatentDiffusion, inputs: Batch) -> Tensor:
    torch.manual_seed(2)
    return next(iter(family.loss(inputs)[0].values()))


def test_kept_encodings_teach_what_the_images_do() -> None:
    family, inputs = build(), batch()
    encoded = torch.stack(autoencoder().generator.encode(inputs.image), 1)
    stored = dataclasses.replace(inputs, latent=encoded)
    torch.testing.assert_close(loss(family, stored), loss(family, inputs))
    other = dataclasses.replace(inputs, latent=encoded + 1)
    assert not torch.allclose(loss(family, other), loss(family, inputs)), "the kept ones are what is used"


def test_latents_are_drawn_anew_and_scaled() -> None:
    family = build()
    latent = torch.stack([torch.full((500, 2, 4, 4), 3.0), torch.full((500, 2, 4, 4), 2.0).log()], 1)
    first, second = (family.encoded(Batch(500, latent=latent)) for _ in range(2))
    assert not torch.equal(first, second)
    assert float(first.mean()) == pytest.approx(3 / 2, abs=0.05)
    assert float(first.var()) == pytest.approx(2 / 4, rel=0.05)


def test_the_autoencoder_stands_still() -> None:
    trainer, _ = tiny.run("latent_diffusion")
    fresh = tiny.trainer("latent_diffusion").family.generator.autoencoder.state_dict()
    for generator in (trainer.family.generator, trainer.ema.generator):
        state = generator.autoencoder.state_dict()
        assert all(torch.equal(state[name], value) for name, value in fresh.items())
    frozen = {id(p) for p in trainer.family.generator.autoencoder.parameters()}
    assert frozen and not frozen & {id(p) for p in trainer.family.phases[0].parameters}


def test_what_it_builds_on_must_be_given() -> None:
    with pytest.raises(ValueError, match="builds on a trained kl_vae"):
        LatentDiffusion(LatentDiffusionConfig(), CARD)


def test_changed_settings_keep_the_autoencoder() -> None:
    family = build()
    other = family.changed({"guidance_scale": 3.0})
    assert other.generator.autoencoder is family.generator.autoencoder and other.config.guidance_scale == 3


def test_captions_guide_latents_as_they_do_pixels() -> None:
    """Rombach et al. 2022, Sec. 3.3: another caption, another image; at guidance 0 none of them is heard."""
    family = build(DataSpec(1, 8, text=6), condition="text", guidance_scale=2.0)
    for p in family.generator.network.parameters():
        p.data += 0.1 * torch.randn_like(p)
    text = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(3))
    heard = torch.ones(2, 4, dtype=torch.bool)

    def drawn(guidance: float, text: Tensor, mask: Tensor) -> Tensor:
        generator = ablation.changed(
            family.generator.eval(), {"guidance_scale": guidance}, "latent_diffusion"
        )
        with torch.inference_mode():
            return generator.sample(Batch(2, text=text, text_mask=mask), Noise([5, 5]))

    one, other = drawn(2.0, text, heard)
    assert not torch.allclose(one, other, atol=1e-3)
    torch.testing.assert_close(drawn(0.0, text, heard), drawn(0.0, -text, heard))
    terms, _ = family.loss(Batch(2, batch(2).image, text=text, text_mask=heard))
    (loss,) = terms.values()
    loss.mean().backward()
    assert loss.isfinite().all()


def test_a_trajectory_ends_with_the_sample() -> None:
    family, inputs = build(), batch(3)
    generator = family.generator.eval()
    with torch.inference_mode():
        way = generator.trajectory(Batch(3, label=inputs.label), Noise(range(3)), 3)
        sample = generator.sample(Batch(3, label=inputs.label), Noise(range(3)))
    assert way.shape == (3, 3, *CARD.shape)
    torch.testing.assert_close(way[-1], sample)


def test_the_forward_process_begins_with_the_reconstruction() -> None:
    generator, inputs = build().generator.eval(), batch(3)
    with torch.inference_mode():
        frames = generator.noised(inputs.image, Noise(range(3)), 4)
        reconstruction = generator.autoencoder.sample(inputs, Noise(range(3)))
    assert frames.shape == (4, 3, *CARD.shape)
    torch.testing.assert_close(frames[0], reconstruction)


def test_a_little_noise_stays_near_the_image() -> None:
    """With a network that knows x_0, an image to start from comes back as the autoencoder has it."""
    generator, inputs = build(strength=0.5, sampler="euler", guidance_scale=1).generator.eval(), batch(3)
    expected = generator.encoded(inputs.image)
    with torch.inference_mode():
        result = generator.integrate(lambda x, level: expected, generator.start(inputs), Noise(range(3)))
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)


def test_codes_of_a_book_serve_alike() -> None:
    """Rombach et al. 2022, Sec. 3.1: the quantisation belongs to the decoder."""
    config = KLVAEConfig(downsampling=2, latent=2, width=16, max_width=16, quantizer="vq", codebook_size=8)
    below = KLVAE(config, CARD).generator.eval()
    below.settle(torch.tensor(0.5), torch.tensor(4.25))
    family = LatentDiffusion(LatentDiffusionConfig(width=16, sampler_steps=3), CARD, {"autoencoder": below})
    images, calls = batch(), []
    assert images.image is not None and below.codebook is not None
    assert family.encoded(images).isfinite().all()
    below = family.generator.autoencoder
    below.decoder.register_forward_hook(lambda module, inputs, out: calls.append(inputs[0]))
    with torch.inference_mode():
        family.eval().generator.sample(images, Noise(range(6)))
    z = calls[-1].permute(0, 2, 3, 1).flatten(0, 2)
    assert float(torch.cdist(z, below.codebook.code).min(1).values.max()) < 1e-3


def test_latents_are_not_clipped_to_pixels() -> None:
    with pytest.raises(ValidationError, match="latents have no bounds"):
        LatentDiffusionConfig(clip_denoised=True)
